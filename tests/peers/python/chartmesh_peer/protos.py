"""The messages, compiled from the .proto files of this repository when the program starts."""

import importlib
import pathlib
import sys
import tempfile

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[4]


def _compile():
    out = tempfile.mkdtemp(prefix="chartmesh-protos-")
    names = ["chartmesh/v1/body.proto", "chartmesh/v1/peer.proto"]
    status = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}", *names])
    if status != 0:
        raise SystemExit("the .proto files do not compile")
    sys.path.insert(0, out)
    return (importlib.import_module("chartmesh.v1.body_pb2"), importlib.import_module("chartmesh.v1.peer_pb2"))


body, peer = _compile()


def encode(message) -> bytes:
    """The one form of a body (4.1)."""
    return message.SerializeToString(deterministic=True)
