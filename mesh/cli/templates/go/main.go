// Greets and counts down.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	pb "{{name}}/gen/{{name}}/v1"
)

type service struct {
	pb.Unimplemented{{Name}}ServiceServer
}

func (service) Greet(_ context.Context, request *pb.GreetRequest) (*pb.GreetResponse, error) {
	return &pb.GreetResponse{Message: "Hello, " + request.GetName() + "!"}, nil
}

func (service) CountDown(request *pb.CountDownRequest, stream grpc.ServerStreamingServer[pb.CountDownResponse]) error {
	for number := request.GetStart(); number > 0; number-- {
		if err := stream.Send(&pb.CountDownResponse{Number: number}); err != nil {
			return err
		}
	}
	return nil
}

// The gateway learns the API by reflection; `mesh` asks for the health.
func newServer() *grpc.Server {
	server := grpc.NewServer()
	pb.Register{{Name}}ServiceServer(server, service{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	return server
}

func main() {
	address := os.Getenv("PROTOMESH_LISTEN")
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := newServer()
	stopped, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(stopped, server.GracefulStop)
	log.Printf("listening on %s", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
