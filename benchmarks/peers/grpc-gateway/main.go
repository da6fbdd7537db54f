// grpc-gateway in front of the benchmark's upstream: `grpc-gateway LISTEN UPSTREAM`.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"protomesh.dev/benchmarks/peers/bench"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: grpc-gateway LISTEN UPSTREAM")
	}
	mux := runtime.NewServeMux()
	plain := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	err := bench.RegisterBenchServiceHandlerFromEndpoint(context.Background(), mux, os.Args[2], plain)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], mux))
}
