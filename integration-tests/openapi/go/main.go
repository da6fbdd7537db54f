// Places an order with the client that oapi-codegen makes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"protomesh.example/openapi/api"
)

func main() {
	client, err := api.NewClientWithResponses(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	description, charge := "POSTAGE", true
	line := api.OrdersV1OrderLineInput{Sku: "POST", Description: &description, Charge: &charge}
	if err := line.Quantity.FromOrdersV1OrderLineInputQuantity0("1"); err != nil {
		log.Fatal(err)
	}
	if err := line.UnitPriceMinor.FromOrdersV1OrderLineInputUnitPriceMinor1(1800); err != nil {
		log.Fatal(err)
	}
	response, err := client.OrdersServicePlaceOrderWithResponse(context.Background(), api.OrdersV1PlaceOrderRequest{
		RequestId:    "oapi-codegen",
		AccountId:    "17850",
		PlacedAt:     "2010-12-01T08:26:00",
		CurrencyCode: "GBP",
		Lines:        []api.OrdersV1OrderLineInput{line},
	})
	if err != nil {
		log.Fatal(err)
	}
	if response.JSON200 == nil {
		log.Fatal(string(response.Body))
	}
	fmt.Println(*response.JSON200.OrderId)
}
