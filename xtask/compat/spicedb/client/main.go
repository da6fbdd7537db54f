// Uses SpiceDB through authzed's official client and prints what every call ends with.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	v1 "github.com/authzed/authzed-go/proto/authzed/api/v1"
	"github.com/authzed/authzed-go/v1"
	"github.com/authzed/grpcutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const schema = `definition user {}
definition page { relation reader: user
 permission view = reader
}`

func say(what string, err error, values ...any) {
	if err != nil {
		failure := status.Convert(err)
		fmt.Println(what, failure.Code(), failure.Message(), len(failure.Details()))
		return
	}
	fmt.Println(append([]any{what, "ok"}, values...)...)
}

// sayCode leaves out the text and the details, which are those of the validator at hand.
func sayCode(what string, err error) {
	fmt.Println(what, status.Code(err))
}

func update(id, user string) *v1.RelationshipUpdate {
	return &v1.RelationshipUpdate{
		Operation: v1.RelationshipUpdate_OPERATION_TOUCH,
		Relationship: &v1.Relationship{
			Resource: &v1.ObjectReference{ObjectType: "page", ObjectId: id},
			Relation: "reader",
			Subject:  &v1.SubjectReference{Object: &v1.ObjectReference{ObjectType: "user", ObjectId: user}},
		},
	}
}

func dial(key string) *authzed.Client {
	client, err := authzed.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpcutil.WithInsecureBearerToken(key))
	if err != nil {
		panic(err)
	}
	return client
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	full := &v1.Consistency{Requirement: &v1.Consistency_FullyConsistent{FullyConsistent: true}}
	client := dial("key")
	// Relationships that others have left keep their types in the schema.
	for _, kind := range []string{"document", "group"} {
		left := &v1.RelationshipFilter{ResourceType: kind}
		_, err := client.DeleteRelationships(ctx, &v1.DeleteRelationshipsRequest{RelationshipFilter: left})
		say("clear "+kind, err)
	}
	_, err := client.WriteSchema(ctx, &v1.WriteSchemaRequest{Schema: schema})
	say("write schema", err)
	_, err = client.WriteSchema(ctx, &v1.WriteSchemaRequest{Schema: "definition"})
	say("bad schema", err)
	_, err = dial("wrong").ReadSchema(ctx, &v1.ReadSchemaRequest{})
	say("wrong key", err)
	first, err := client.WriteRelationships(ctx, &v1.WriteRelationshipsRequest{Updates: []*v1.RelationshipUpdate{update("a", "ann")}})
	say("write", err)
	watching, stop := context.WithCancel(ctx)
	watch, err := client.Watch(watching, &v1.WatchRequest{OptionalStartCursor: first.GetWrittenAt()})
	say("watch", err)
	for index := range 20 {
		_, err = client.WriteRelationships(ctx, &v1.WriteRelationshipsRequest{Updates: []*v1.RelationshipUpdate{update(fmt.Sprint("b", index), "ann")}})
		if err != nil {
			say("write more", err)
		}
	}
	changes := 0
	for changes < 20 {
		event, err := watch.Recv()
		if err != nil {
			say("watch", err)
			break
		}
		changes += len(event.Updates)
	}
	say("changes", nil, changes)
	stop()
	_, err = watch.Recv()
	say("cancelled watch", nil, status.Code(err) == codes.Canceled)
	subject := &v1.SubjectReference{Object: &v1.ObjectReference{ObjectType: "user", ObjectId: "ann"}}
	for _, permission := range []string{"view", "none"} {
		check, err := client.CheckPermission(ctx, &v1.CheckPermissionRequest{Consistency: full,
			Resource: &v1.ObjectReference{ObjectType: "page", ObjectId: "a"}, Permission: permission, Subject: subject})
		say("check "+permission, err, check.GetPermissionship())
	}
	_, err = client.CheckPermission(ctx, &v1.CheckPermissionRequest{Permission: "!"})
	sayCode("check !", err)
	stream, err := client.LookupResources(ctx, &v1.LookupResourcesRequest{Consistency: full, ResourceObjectType: "page", Permission: "view", Subject: subject})
	say("lookup", err)
	found := []string{}
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			say("lookup", err)
			break
		}
		found = append(found, item.ResourceObjectId)
	}
	sort.Strings(found)
	say("found", nil, found)
	load, err := client.ImportBulkRelationships(ctx)
	say("import", err)
	for index := range 5 {
		relationship := update(fmt.Sprint("c", index), "bob").Relationship
		if err := load.Send(&v1.ImportBulkRelationshipsRequest{Relationships: []*v1.Relationship{relationship}}); err != nil {
			say("send", err)
			break
		}
	}
	loaded, err := load.CloseAndRecv()
	say("imported", err, loaded.GetNumLoaded())
	empty := 0
	for range 100 {
		load, err := client.ImportBulkRelationships(ctx)
		if err != nil {
			say("empty import", err)
			break
		}
		if answer, err := load.CloseAndRecv(); err == nil && answer.NumLoaded == 0 {
			empty++
		}
	}
	say("empty imports", nil, empty)
	_, err = client.DeleteRelationships(ctx, &v1.DeleteRelationshipsRequest{})
	sayCode("delete nothing", err)
	_, err = client.DeleteRelationships(ctx, &v1.DeleteRelationshipsRequest{RelationshipFilter: &v1.RelationshipFilter{ResourceType: "page"}})
	say("delete", err)
}
