"""Calls the order-to-cash mesh by gRPC: main.py HOST:PORT FILE.

Places an order, repeats it, watches it, uploads a file, and reads the details of errors.
"""

import hashlib
import json
import os
import sys
import uuid
from pathlib import Path

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

sys.path.insert(0, str(Path(__file__).parent / "gen"))

from ingest.v1 import ingest_service_pb2 as ingest
from ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from orders.v1 import orders_service_pb2 as orders
from orders.v1.orders_service_pb2_grpc import OrdersServiceStub

# Bytes of a file in one message of an upload.
CHUNK = 64 * 1024
# Seconds for a call that is not a stream, with its retries.
DEADLINE = 20

# Repeating PlaceOrder is safe: its request_id makes both calls the same order.
RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "orders.v1.OrdersService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
             grpc.StreamUnaryClientInterceptor):
    """Sends a token with every call."""

    def __init__(self, token):
        self.metadata = [("authorization", f"Bearer {token}")]

    def _intercept(self, continuation, details, request):
        metadata = [*(details.metadata or ()), *self.metadata]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = _intercept


def connect(address):
    options = [("grpc.service_config", json.dumps(RETRIES))]
    channel = grpc.insecure_channel(address, options)
    token = os.environ.get("MESH_TOKEN")
    return grpc.intercept_channel(channel, Bearer(token)) if token else channel


def new_order(request_id):
    line = orders.OrderLine(
        sku="POST", description="POSTAGE", quantity=1, unit_price_minor=1800, charge=True
    )
    return orders.PlaceOrderRequest(
        request_id=request_id,
        account_id="17850",
        placed_at="2010-12-01T08:26:00",
        currency_code="GBP",
        lines=[line],
    )


def place_and_watch(client):
    request = new_order(str(uuid.uuid4()))
    order = client.PlaceOrder(request, timeout=DEADLINE).order
    print("placed", order.order_id)
    again = client.PlaceOrder(request, timeout=DEADLINE).order
    print("repeated", again.order_id)
    for message in client.WatchOrder(orders.WatchOrderRequest(order_id=order.order_id)):
        print("watched", orders.OrderState.Name(message.order.state))


def upload(client, file):
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    create = ingest.CreateImportRequest(
        request_id=digest,
        source="online-retail",
        file_name=file.name,
        size_bytes=len(content),
        sha256=digest,
    )
    # Of a broken upload, the import knows how many bytes arrived.
    begun = getattr(client.CreateImport(create, timeout=DEADLINE), "import")

    def messages():
        for offset in range(begun.received_bytes, len(content), CHUNK):
            body = HttpBody(data=content[offset : offset + CHUNK])
            yield ingest.UploadImportRequest(
                import_id=begun.import_id, offset=offset, content=body
            )

    received = begun.received_bytes
    if received < len(content):
        # `import` is a keyword of Python.
        received = getattr(client.UploadImport(messages()), "import").received_bytes
    print("uploaded", begun.import_id, received)


def show_errors(client):
    invalid = new_order("")
    invalid.currency_code = "pounds"
    missing = orders.GetOrderRequest(order_id=str(uuid.uuid4()))
    for call, request in [(client.PlaceOrder, invalid), (client.GetOrder, missing)]:
        try:
            call(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            show(error)


def show(error):
    print("refused", error.code().name)
    status = rpc_status.from_call(error)
    info, request = ErrorInfo(), BadRequest()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            print("reason", info.reason)
        elif detail.Unpack(request):
            for violation in request.field_violations:
                print("field", violation.field, violation.description)


def main():
    address, file = sys.argv[1:]
    with connect(address) as channel:
        client = OrdersServiceStub(channel)
        place_and_watch(client)
        upload(IngestServiceStub(channel), Path(file))
        show_errors(client)


if __name__ == "__main__":
    main()
