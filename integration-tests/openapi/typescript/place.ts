import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });
const { data, error } = await client.POST("/v1/orders", {
  body: {
    requestId: "openapi-typescript",
    accountId: "17850",
    placedAt: "2010-12-01T08:26:00",
    currencyCode: "GBP",
    lines: [{ sku: "POST", description: "POSTAGE", quantity: "1", unitPriceMinor: 1800, charge: true }],
  },
});
if (error) {
  throw new Error(JSON.stringify(error));
}
console.log(data?.orderId);
