// A client of gRPC that opens request streams without messages: client ADDRESS METHOD COUNT.
// It prints how many of the calls ended well, and the failures.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	address, method := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	ended := 0
	for range count {
		if err := call(connection, method); err == nil {
			ended++
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	fmt.Printf("%d of %d\n", ended, count)
}

// call closes the stream at once: headers and the end leave in one write.
func call(connection *grpc.ClientConn, method string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}
