// Client calls the order-to-cash mesh by gRPC: client HOST:PORT FILE.
//
// It places an order, repeats it, watches it, uploads a file, and reads the details of errors.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ingest "protomesh.example/client/gen/ingest/v1"
	orders "protomesh.example/client/gen/orders/v1"
)

const (
	// Bytes of a file in one message of an upload.
	chunk = 64 * 1024
	// For a call that is not a stream, with its retries.
	deadline = 20 * time.Second
	// Repeating PlaceOrder is safe: its request_id makes both calls the same order.
	retries = `{"methodConfig": [{
		"name": [{"service": "orders.v1.OrdersService"}],
		"retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]}`
)

// bearer sends a token with every call.
type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// A mesh on one's own machine has no TLS.
func (bearer) RequireTransportSecurity() bool { return false }

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: client HOST:PORT FILE")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, file string) error {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retries),
	}
	if token := os.Getenv("MESH_TOKEN"); token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	connection, err := grpc.NewClient(address, options...)
	if err != nil {
		return err
	}
	defer connection.Close()
	client := orders.NewOrdersServiceClient(connection)
	if err := placeAndWatch(ctx, client); err != nil {
		return err
	}
	if err := upload(ctx, ingest.NewIngestServiceClient(connection), file); err != nil {
		return err
	}
	return showErrors(ctx, client)
}

func newOrder(requestID string) *orders.PlaceOrderRequest {
	return &orders.PlaceOrderRequest{
		RequestId:    requestID,
		AccountId:    "17850",
		PlacedAt:     "2010-12-01T08:26:00",
		CurrencyCode: "GBP",
		Lines: []*orders.OrderLine{{
			Sku: "POST", Description: "POSTAGE", Quantity: 1, UnitPriceMinor: 1800, Charge: true,
		}},
	}
}

func place(ctx context.Context, client orders.OrdersServiceClient, request *orders.PlaceOrderRequest) (*orders.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	response, err := client.PlaceOrder(ctx, request)
	return response.GetOrder(), err
}

func placeAndWatch(ctx context.Context, client orders.OrdersServiceClient) error {
	request := newOrder(rand.Text())
	order, err := place(ctx, client, request)
	if err != nil {
		return err
	}
	fmt.Println("placed", order.GetOrderId())
	again, err := place(ctx, client, request)
	if err != nil {
		return err
	}
	fmt.Println("repeated", again.GetOrderId())
	watch, err := client.WatchOrder(ctx, &orders.WatchOrderRequest{OrderId: order.GetOrderId()})
	if err != nil {
		return err
	}
	for {
		message, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Println("watched", message.GetOrder().GetState())
	}
}

func upload(ctx context.Context, client ingest.IngestServiceClient, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	created, err := client.CreateImport(ctx, &ingest.CreateImportRequest{
		RequestId: digest,
		Source:    "online-retail",
		FileName:  filepath.Base(file),
		SizeBytes: int64(len(content)),
		Sha256:    digest,
	})
	if err != nil {
		return err
	}
	// Of a broken upload, the import knows how many bytes arrived.
	begun := created.GetImport()
	received := begun.GetReceivedBytes()
	if received < int64(len(content)) {
		if received, err = send(ctx, client, begun, content); err != nil {
			return err
		}
	}
	fmt.Println("uploaded", begun.GetImportId(), received)
	return nil
}

func send(ctx context.Context, client ingest.IngestServiceClient, begun *ingest.Import, content []byte) (int64, error) {
	stream, err := client.UploadImport(ctx)
	if err != nil {
		return 0, err
	}
	offset := begun.GetReceivedBytes()
	rest := bytes.NewBuffer(content[offset:])
	for rest.Len() > 0 {
		part := rest.Next(chunk)
		err := stream.Send(&ingest.UploadImportRequest{
			ImportId: begun.GetImportId(), Offset: offset, Content: &httpbody.HttpBody{Data: part},
		})
		if errors.Is(err, io.EOF) {
			break // CloseAndRecv has the reason.
		}
		if err != nil {
			return 0, err
		}
		offset += int64(len(part))
	}
	response, err := stream.CloseAndRecv()
	return response.GetImport().GetReceivedBytes(), err
}

func showErrors(ctx context.Context, client orders.OrdersServiceClient) error {
	invalid := newOrder("")
	invalid.CurrencyCode = "pounds"
	if _, err := place(ctx, client, invalid); err == nil {
		return errors.New("an invalid order was placed")
	} else {
		show(err)
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	const unknown = "0f8fad5b-d9cb-469f-a165-70867728950e"
	if _, err := client.GetOrder(ctx, &orders.GetOrderRequest{OrderId: unknown}); err == nil {
		return errors.New("an unknown order was found")
	} else {
		show(err)
	}
	return nil
}

func show(err error) {
	refused := status.Convert(err)
	fmt.Println("refused", refused.Code())
	for _, detail := range refused.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println("reason", detail.GetReason())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fmt.Println("field", violation.GetField(), violation.GetDescription())
			}
		}
	}
}
