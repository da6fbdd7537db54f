// vanguard-go in front of the benchmark's upstream: `vanguard LISTEN UPSTREAM`.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"connectrpc.com/vanguard"

	"protomesh.dev/benchmarks/peers/bench"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: vanguard LISTEN UPSTREAM")
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: os.Args[2]})
	proxy.FlushInterval = -1
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	proxy.Transport = &http.Transport{Protocols: protocols}
	service := vanguard.NewServiceWithSchema(
		bench.File_bench_v1_bench_proto.Services().ByName("BenchService"),
		proxy,
		vanguard.WithTargetProtocols(vanguard.ProtocolGRPC),
		vanguard.WithTargetCodecs(vanguard.CodecProto),
	)
	transcoder, err := vanguard.NewTranscoder([]*vanguard.Service{service})
	if err != nil {
		log.Fatal(err)
	}
	serverProtocols := new(http.Protocols)
	serverProtocols.SetHTTP1(true)
	serverProtocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: os.Args[1], Handler: transcoder, Protocols: serverProtocols}
	log.Fatal(server.ListenAndServe())
}
