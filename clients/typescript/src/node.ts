// In Node.js: node dist/src/node.js HOST:PORT FILE, by Connect; by gRPC with MESH_PROTOCOL=grpc.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { bearer, placeAndWatch, showErrors, upload } from "./client.js";

const [address, file] = process.argv.slice(2);
if (!address || !file) {
  throw new Error("usage: node dist/src/node.js HOST:PORT FILE");
}
const token = process.env["MESH_TOKEN"];
const options = {
  baseUrl: `http://${address}`,
  interceptors: token ? [bearer(token)] : [],
};
const isGrpc = process.env["MESH_PROTOCOL"] === "grpc";
// A client stream needs HTTP/2.
const transport = isGrpc ? createGrpcTransport(options) : createConnectTransport({ ...options, httpVersion: "2" });
const content = new Uint8Array(await readFile(file));

await placeAndWatch(transport, console.log);
await upload(transport, basename(file), content, console.log);
await showErrors(transport, console.log);
