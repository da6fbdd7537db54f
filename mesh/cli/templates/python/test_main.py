"""The service as callers see it."""

import unittest

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from main import NAME, pb, pb_grpc, serve


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server, port = serve("127.0.0.1:0")
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        cls.client = pb_grpc.{{Name}}ServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop(None).wait()

    def test_a_greeting_has_the_name(self):
        answer = self.client.Greet(pb.GreetRequest(name="Wanjiru"), timeout=10)
        self.assertEqual(answer.message, "Hello, Wanjiru!")

    def test_a_countdown_ends_at_one(self):
        answers = self.client.CountDown(pb.CountDownRequest(start=3), timeout=10)
        self.assertEqual([answer.number for answer in answers], [3, 2, 1])

    def test_the_service_is_healthy(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=NAME), timeout=10)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    unittest.main()
