// A gRPC server of another language: two services that come with generated code of their own, and reflection.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/anypb"
)

// operations knows every operation whose name does not end in "missing".
type operations struct {
	longrunningpb.UnimplementedOperationsServer
}

func (operations) GetOperation(_ context.Context, request *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	name := request.GetName()
	if strings.HasSuffix(name, "missing") {
		return nil, status.Errorf(codes.NotFound, "no operation %q", name)
	}
	metadata, err := anypb.New(durationpb.New(90e9))
	if err != nil {
		return nil, err
	}
	return &longrunningpb.Operation{Name: name, Done: true, Metadata: metadata}, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	longrunningpb.RegisterOperationsServer(server, operations{})
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	reflection.Register(server)
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
