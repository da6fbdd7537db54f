// Calls a service from a page, by both protocols of browsers, without generated code: descriptors are part of the page.
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

const query = new URLSearchParams(location.search);
const baseUrl = query.get("gateway");
const orderId = query.get("order");

const descriptors = new Uint8Array(await (await fetch("descriptors.binpb")).arrayBuffer());
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
const service = registry.getService("orders.v1.OrdersService");

const transports = {
  connect: createConnectTransport({ baseUrl }),
  connectJson: createConnectTransport({ baseUrl, useBinaryFormat: false }),
  connectGet: createConnectTransport({ baseUrl, useHttpGet: true }),
  grpcWeb: createGrpcWebTransport({ baseUrl }),
};

/** Reads an order, watches it to its end, and asks for one that there isn't. */
async function calls(client) {
  const read = await client.getOrder({ orderId });
  const states = [];
  for await (const seen of client.watchOrder({ orderId })) {
    states.push(toJson(service.method.watchOrder.output, seen, { registry }).order?.state);
  }
  const missing = client.getOrder({ orderId: "00000000-0000-0000-0000-000000000000" });
  const refusal = await missing.then(() => "no error", (error) => Code[ConnectError.from(error).code]);
  const totalMinor = toJson(service.method.getOrder.output, read, { registry }).order?.totalMinor;
  return { totalMinor, states, refusal };
}

const outcome = {};
for (const [name, transport] of Object.entries(transports)) {
  outcome[name] = await calls(createClient(service, transport)).catch((error) => ({ error: String(error) }));
}
document.body.textContent = JSON.stringify(outcome);
await fetch("outcome", { method: "POST", body: JSON.stringify(outcome) });
