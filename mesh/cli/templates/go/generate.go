// Generates gen/ from the contracts; it needs no protoc.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Files to generate, each with its Go package. Contracts of other services that this one calls
// belong here, too.
var generated = [][2]string{
	{"{{name}}/v1/{{name}}_service.proto", "{{name}}/gen/{{name}}/v1;pb"},
	{"buf/validate/validate.proto", "{{name}}/gen/buf/validate"},
	{"mesh/v1/options.proto", "{{name}}/gen/mesh/v1"},
}

// Imports whose Go packages exist.
var existing = [][2]string{
	{"google/api/annotations.proto", "google.golang.org/genproto/googleapis/api/annotations"},
	{"google/api/http.proto", "google.golang.org/genproto/googleapis/api/annotations"},
}

func main() {
	log.SetFlags(0)
	if err := generate(); err != nil {
		log.Fatal(err)
	}
}

func generate() error {
	imports := &protocompile.SourceResolver{ImportPaths: []string{"../../proto", "../../third_party"}}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(imports),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	request := &pluginpb.CodeGeneratorRequest{}
	parameters := []string{"paths=source_relative"}
	for _, file := range generated {
		request.FileToGenerate = append(request.FileToGenerate, file[0])
	}
	for _, file := range slices.Concat(generated, existing) {
		parameters = append(parameters, "M"+file[0]+"="+file[1])
	}
	request.Parameter = proto.String(strings.Join(parameters, ","))

	files, err := compiler.Compile(context.Background(), request.FileToGenerate...)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, file := range files {
		request.ProtoFile = withImports(request.ProtoFile, file, seen)
	}
	if err := os.RemoveAll("gen"); err != nil {
		return err
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := run(plugin, request); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// Appends a file after the ones that it imports.
func withImports(
	to []*descriptorpb.FileDescriptorProto, file protoreflect.FileDescriptor, seen map[string]bool,
) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return to
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		to = withImports(to, file.Imports().Get(i).FileDescriptor, seen)
	}
	return append(to, protodesc.ToFileDescriptorProto(file))
}

// Runs a plugin, which go.mod pins, and writes the files that it makes.
func run(plugin string, request *pluginpb.CodeGeneratorRequest) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command("go", "tool", plugin)
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	output, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.File {
		path := filepath.Join("gen", file.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
