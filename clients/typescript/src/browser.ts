// In a browser: the same calls, by a transport that uses fetch.

import { createConnectTransport } from "@connectrpc/connect-web";
import { bearer, placeAndWatch, showErrors } from "./client.js";

/** Places and watches an order from a page; `baseUrl` is the gateway's, which lists the page's origin in `[cors]`. */
export async function run(baseUrl: string, token: string | undefined, print: (...words: unknown[]) => void) {
  const transport = createConnectTransport({ baseUrl, interceptors: token ? [bearer(token)] : [] });
  await placeAndWatch(transport, print);
  await showErrors(transport, print);
}
