// Calls of the order-to-cash mesh, by any transport of Connect: nothing here is of Node.js or of a browser.

import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { IngestService } from "../gen/ingest/v1/ingest_service_pb.js";
import { OrdersService, OrderState, PlaceOrderRequestSchema } from "../gen/orders/v1/orders_service_pb.js";

/** Bytes of a file in one message of an upload. */
const CHUNK = 64 * 1024;
/** Milliseconds for a call that is not a stream. */
const timeoutMs = 20_000;
const ATTEMPTS = 5;

type Orders = Client<typeof OrdersService>;
type Print = (...words: unknown[]) => void;

/** Sends a token with every call. */
export function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

/** Repeats a call while the server is away. Only for calls that may be repeated. */
export async function retry<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || attempt === ATTEMPTS) {
        throw error;
      }
      const backoff = Math.random() * 100 * 2 ** attempt;
      await new Promise((resolve) => setTimeout(resolve, backoff));
    }
  }
}

export function newOrder(requestId: string) {
  return create(PlaceOrderRequestSchema, {
    requestId,
    accountId: "17850",
    placedAt: "2010-12-01T08:26:00",
    currencyCode: "GBP",
    lines: [{ sku: "POST", description: "POSTAGE", quantity: 1n, unitPriceMinor: 1800n, charge: true }],
  });
}

/** Places an order twice, which is safe by its request ID, and watches it. */
export async function placeAndWatch(transport: Transport, print: Print) {
  const client: Orders = createClient(OrdersService, transport);
  const request = newOrder(crypto.randomUUID());
  const { order } = await retry(() => client.placeOrder(request, { timeoutMs }));
  print("placed", order?.orderId);
  const again = await retry(() => client.placeOrder(request, { timeoutMs }));
  print("repeated", again.order?.orderId);
  for await (const message of client.watchOrder({ orderId: order?.orderId })) {
    print("watched", OrderState[message.order?.state ?? 0]);
  }
}

/** Uploads a file as a stream. Browsers cannot send streams: there, post the bytes to `/v1/imports/{id}:upload`. */
export async function upload(transport: Transport, fileName: string, content: Uint8Array<ArrayBuffer>, print: Print) {
  const client = createClient(IngestService, transport);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const sizeBytes = BigInt(content.length);
  const created = await retry(() =>
    client.createImport({ requestId: sha256, source: "online-retail", fileName, sizeBytes, sha256 }, { timeoutMs }),
  );
  // Of a broken upload, the import knows how many bytes arrived.
  const { importId = "", receivedBytes = 0n } = created.import ?? {};
  async function* messages() {
    for (let offset = Number(receivedBytes); offset < content.length; offset += CHUNK) {
      const data = content.subarray(offset, offset + CHUNK);
      yield { importId, offset: BigInt(offset), content: { data } };
    }
  }
  let received = receivedBytes;
  if (received < sizeBytes) {
    received = (await client.uploadImport(messages())).import?.receivedBytes ?? 0n;
  }
  print("uploaded", importId, String(received));
}

/** Makes two calls that are refused, and shows why. */
export async function showErrors(transport: Transport, print: Print) {
  const client: Orders = createClient(OrdersService, transport);
  const invalid = newOrder("");
  invalid.currencyCode = "pounds";
  await client.placeOrder(invalid, { timeoutMs }).catch((error) => show(error, print));
  const missing = { orderId: crypto.randomUUID() };
  await client.getOrder(missing, { timeoutMs }).catch((error) => show(error, print));
}

function show(error: unknown, print: Print) {
  const refused = ConnectError.from(error);
  print("refused", Code[refused.code]);
  for (const info of refused.findDetails(ErrorInfoSchema)) {
    print("reason", info.reason);
  }
  for (const { fieldViolations } of refused.findDetails(BadRequestSchema)) {
    for (const { field, description } of fieldViolations) {
      print("field", field, description);
    }
  }
}
