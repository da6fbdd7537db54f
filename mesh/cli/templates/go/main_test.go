// The service as callers see it.
package main

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	pb "{{name}}/gen/{{name}}/v1"
)

func connect(t *testing.T) *grpc.ClientConn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer()
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient(
		listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func TestAGreetingHasTheName(t *testing.T) {
	client := pb.New{{Name}}ServiceClient(connect(t))
	answer, err := client.Greet(t.Context(), &pb.GreetRequest{Name: "Wanjiru"})
	if err != nil || answer.GetMessage() != "Hello, Wanjiru!" {
		t.Fatalf("got %v, %v", answer, err)
	}
}

func TestACountdownEndsAtOne(t *testing.T) {
	client := pb.New{{Name}}ServiceClient(connect(t))
	stream, err := client.CountDown(t.Context(), &pb.CountDownRequest{Start: 3})
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int32
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, answer.GetNumber())
	}
	if !slices.Equal(numbers, []int32{3, 2, 1}) {
		t.Fatalf("got %v", numbers)
	}
}

func TestTheServiceIsHealthy(t *testing.T) {
	health := grpc_health_v1.NewHealthClient(connect(t))
	answer, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("got %v, %v", answer, err)
	}
}
