#!/usr/bin/env python3
"""A plugin that runs the generators of grpcio-tools, which are parts of its protoc."""

import sys
import tempfile
from pathlib import Path

# The packages are installed beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parent / "packages"))

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def main():
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as work:
        contract, out = Path(work, "contract.binpb"), Path(work, "out")
        contract.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        out.mkdir()
        outputs = [f"--{name}_out={out}" for name in ("python", "pyi", "grpc_python")]
        arguments = ["protoc", f"--descriptor_set_in={contract}", *outputs]
        if protoc.main([*arguments, *request.file_to_generate]):
            sys.exit("protoc has failed; its error is above")
        for path in sorted(path for path in out.rglob("*") if path.is_file()):
            name = path.relative_to(out).as_posix()
            response.file.add(name=name, content=path.read_text())
    sys.stdout.buffer.write(response.SerializeToString())


main()
