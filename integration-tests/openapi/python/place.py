"""Places an order with the client that openapi-generator makes."""

import sys

from order_to_cash import ApiClient, Configuration
from order_to_cash.api.orders_v1_orders_service_api import OrdersV1OrdersServiceApi
from order_to_cash.models.orders_v1_place_order_request import OrdersV1PlaceOrderRequest

REQUEST = {
    "requestId": "openapi-generator",
    "accountId": "17850",
    "placedAt": "2010-12-01T08:26:00",
    "currencyCode": "GBP",
    "lines": [
        {
            "sku": "POST",
            "description": "POSTAGE",
            "quantity": "1",
            "unitPriceMinor": 1800,
            "charge": True,
        }
    ],
}

with ApiClient(Configuration(host=sys.argv[1])) as client:
    orders = OrdersV1OrdersServiceApi(client)
    request = OrdersV1PlaceOrderRequest.from_dict(REQUEST)
    print(orders.orders_service_place_order(request).order_id)
