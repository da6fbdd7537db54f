package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// fact is the envelope, CloudEvents in binary mode, with the decoded payload.
type fact struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Source string `json:"source"`
	Key    string `json:"key"`
	Time   string `json:"time"`
	// Version is the position in the chain of the key, from 1.
	Version int64           `json:"version"`
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
}

// contract has the message types of a FileDescriptorSet.
type contract struct{ files *protoregistry.Files }

func loadContract(path string) (*contract, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(bytes, &set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(&set)
	return &contract{files}, err
}

// decode returns a message as JSON; kind is its full name.
func (c *contract) decode(kind string, payload []byte) (json.RawMessage, error) {
	found, err := c.files.FindDescriptorByName(protoreflect.FullName(kind))
	if err != nil {
		return nil, err
	}
	descriptor, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no message", kind)
	}
	message := dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(payload, message); err != nil {
		return nil, err
	}
	return protojson.Marshal(message)
}

// read reads the envelope of a message.
func read(message jetstream.Msg, contract *contract) (*fact, error) {
	headers := message.Headers()
	version, err := strconv.ParseInt(headers.Get("Mesh-Version"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s holds no fact: %w", message.Subject(), err)
	}
	key, err := url.PathUnescape(headers.Get("ce-subject"))
	if err != nil {
		return nil, fmt.Errorf("ce-subject: %w", err)
	}
	kind := headers.Get("ce-type")
	data, err := contract.decode(kind, message.Data())
	if err != nil {
		return nil, fmt.Errorf("payload of %s: %w", kind, err)
	}
	return &fact{
		ID:      headers.Get("ce-id"),
		Type:    kind,
		Source:  headers.Get("ce-source"),
		Key:     key,
		Time:    headers.Get("ce-time"),
		Version: version,
		Subject: message.Subject(),
		Data:    data,
	}, nil
}
