// Uses an OpenFGA server through its official SDK and prints what every call ends with. A second
// argument is the token of all calls.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	openfga "github.com/openfga/go-sdk"
	"github.com/openfga/go-sdk/client"
	"github.com/openfga/go-sdk/credentials"
)

const model = `{"schema_version":"1.1","type_definitions":[{"type":"user"},{"type":"document",
"relations":{"reader":{"this":{}},"writer":{"this":{}},"viewer":{"union":{"child":[
{"computedUserset":{"relation":"reader"}},{"computedUserset":{"relation":"writer"}}]}}},
"metadata":{"relations":{"reader":{"directly_related_user_types":[{"type":"user"}]},
"writer":{"directly_related_user_types":[{"type":"user"}]}}}}]}`

func say(what string, err error, values ...any) {
	switch failure := err.(type) {
	case nil:
		fmt.Println(append([]any{what, "ok"}, values...)...)
	case openfga.FgaApiValidationError:
		// The name of the code is written by the error handler of OpenFGA's gateway alone.
		fmt.Println(what, "validation error", failure.ResponseStatusCode())
	case openfga.FgaApiNotFoundError:
		fmt.Println(what, "not found", failure.ResponseStatusCode())
	default:
		fmt.Printf("%s %T %v\n", what, err, err)
	}
}

func main() {
	ctx := context.Background()
	configuration := client.ClientConfiguration{ApiUrl: os.Args[1]}
	if len(os.Args) > 2 {
		configuration.Credentials = &credentials.Credentials{
			Method: credentials.CredentialsMethodApiToken,
			Config: &credentials.Config{ApiToken: os.Args[2]},
		}
	}
	fga, err := client.NewSdkClient(&configuration)
	if err != nil {
		panic(err)
	}
	store, err := fga.CreateStore(ctx).Body(client.ClientCreateStoreRequest{Name: "by the SDK"}).Execute()
	if err != nil {
		panic(err)
	}
	say("create store", err, store.Name)
	fga.SetStoreId(store.Id)
	var body client.ClientWriteAuthorizationModelRequest
	if err := json.Unmarshal([]byte(model), &body); err != nil {
		panic(err)
	}
	_, err = fga.WriteAuthorizationModel(ctx).Body(body).Execute()
	say("write model", err)
	read, err := fga.ReadLatestAuthorizationModel(ctx).Execute()
	say("latest model", err, read != nil && len(read.AuthorizationModel.TypeDefinitions) == 2)
	tuples := []client.ClientTupleKey{}
	for index := range 30 {
		object := fmt.Sprintf("document:%d", index)
		tuples = append(tuples, client.ClientTupleKey{User: "user:jürgen", Relation: "reader", Object: object})
	}
	_, err = fga.WriteTuples(ctx).Body(tuples).Execute()
	say("write", err)
	_, err = fga.WriteTuples(ctx).Body(tuples[:1]).Execute()
	say("write again", err)
	for _, user := range []string{"user:jürgen", "user:nobody"} {
		check, err := fga.Check(ctx).Body(client.ClientCheckRequest{User: user, Relation: "viewer", Object: "document:1"}).Execute()
		say("check "+user, err, check.GetAllowed())
	}
	_, err = fga.Check(ctx).Body(client.ClientCheckRequest{User: "user:a", Relation: "none", Object: "document:1"}).Execute()
	say("check unknown relation", err)
	objects, err := fga.ListObjects(ctx).Body(client.ClientListObjectsRequest{User: "user:jürgen", Relation: "viewer", Type: "document"}).Execute()
	say("list objects", err, len(objects.GetObjects()))
	size := int32(7)
	token, pages := "", 0
	for {
		options := client.ClientReadOptions{PageSize: &size, ContinuationToken: &token}
		page, err := fga.Read(ctx).Body(client.ClientReadRequest{}).Options(options).Execute()
		if err != nil {
			say("read", err)
			break
		}
		pages++
		if token = page.ContinuationToken; token == "" {
			break
		}
	}
	say("pages", nil, pages)
	_, err = fga.ReadAuthorizationModel(ctx).Options(client.ClientReadAuthorizationModelOptions{AuthorizationModelId: openfga.PtrString("01ARZ3NDEKTSV4RRFFQ69G5FAV")}).Execute()
	say("missing model", err)
	_, err = fga.DeleteStore(ctx).Execute()
	say("delete store", err)
	_, err = fga.GetStore(ctx).Execute()
	say("deleted store", err)
}
