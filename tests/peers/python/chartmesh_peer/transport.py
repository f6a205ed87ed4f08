"""gRPC over libp2p streams (2).

libp2p runs under trio in a thread of its own. For each node there is a Unix socket; each connection
to it becomes one libp2p stream of the network's protocol, and grpcio calls through it.
"""

import logging
import pathlib
import shutil
import socket
import tempfile
import threading

import grpc
import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

from .protos import body as proto, peer as calls
from .text import PEER_ID_PREFIX

SIGNED = {"Hello", "Join", "Charters"}
# 2.5: the path of a socket is no well-formed authority.
OPTIONS = [("grpc.default_authority", "peer.invalid"), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
READ_BYTES = 65_536
# It logs a refused protocol as an error, which is what one case asks for.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)


# The gRPC status beside each bare code (15).
STATUS = {
    "MALFORMED": "INVALID_ARGUMENT", "UNAUTHENTICATED": "UNAUTHENTICATED", "NOT_MEMBER": "FAILED_PRECONDITION",
    "STALE": "ABORTED", "DENIED": "PERMISSION_DENIED", "HANDLE_UNKNOWN": "NOT_FOUND",
    "OVER_BUDGET": "RESOURCE_EXHAUSTED", "UNAVAILABLE": "UNAVAILABLE", "CLOCK_SKEW": "OUT_OF_RANGE",
    "TRUST_STALE": "UNAVAILABLE", "VERSION_TOO_OLD": "FAILED_PRECONDITION",
}


class Refused(Exception):
    """A refusal: its code, and whether it came sealed."""

    def __init__(self, code: str, sealed: bool, now_ms: int = 0):
        super().__init__(code)
        self.code, self.sealed, self.now_ms = code, sealed, now_ms


class Host:
    """This node's libp2p, with its node key."""

    def __init__(self, seed: bytes):
        self._pair = create_new_key_pair(seed)
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="chartmesh-peer-"))
        self._ready, self._channels, self._sockets = threading.Event(), [], 0
        self._thread = threading.Thread(target=trio.run, args=(self._run,), daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("libp2p did not start")

    async def _run(self):
        self._token = trio.lowlevel.current_trio_token()
        self._stopped = trio.Event()
        self._host = new_host(key_pair=self._pair)
        async with self._host.run(listen_addrs=[]), trio.open_nursery() as nursery:
            self._nursery = nursery
            self._ready.set()
            await self._stopped.wait()
            nursery.cancel_scope.cancel()

    def node(self, node_key: bytes, addresses: list, network: bytes):
        """A way to call a node; several may be open to one node at a time."""
        peer = ID(PEER_ID_PREFIX + node_key)
        protocol = f"/chartmesh/{network[:8].hex()}/grpc/1"
        self._sockets += 1
        path = str(self._folder / f"{self._sockets}")
        trio.from_thread.run(self._listen, peer, addresses, protocol, path, trio_token=self._token)
        channel = grpc.insecure_channel(f"unix:{path}", options=OPTIONS)
        self._channels.append(channel)
        return Calls(channel)

    def try_protocol(self, node_key: bytes, addresses: list, protocol: str) -> bool:
        """Whether a node speaks a stream protocol."""
        async def attempt():
            peer = ID(PEER_ID_PREFIX + node_key)
            await self._host.connect(PeerInfo(peer, [multiaddr.Multiaddr(one) for one in addresses]))
            try:
                stream = await self._host.new_stream(peer, [protocol])
            except Exception:  # py-libp2p has several for this.
                return False
            await stream.reset()
            return True

        return trio.from_thread.run(attempt, trio_token=self._token)

    async def _listen(self, peer, addresses, protocol, path):
        await self._host.connect(PeerInfo(peer, [multiaddr.Multiaddr(one) for one in addresses]))
        listener = trio.socket.socket(socket.AF_UNIX)
        await listener.bind(path)
        listener.listen(8)

        async def bridge(local):
            stream = await self._host.new_stream(peer, [protocol])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_up, local, stream)
                nursery.start_soon(_down, stream, local, nursery.cancel_scope)

        self._nursery.start_soon(trio.serve_listeners, _survives(bridge), [trio.SocketListener(listener)])

    def close(self):
        for channel in self._channels:
            channel.close()
        trio.from_thread.run_sync(self._stopped.set, trio_token=self._token)
        self._thread.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def _survives(bridge):
    async def served(local):
        try:
            await bridge(local)
        except Exception:  # One broken stream is one failed call, which grpcio reports.
            pass
        finally:
            await local.aclose()

    return served


async def _up(local, stream):
    while data := await local.receive_some(READ_BYTES):
        await stream.write(data)
    await stream.close()


async def _down(stream, local, scope):
    while data := await stream.read(READ_BYTES):
        await local.send_all(data)
    scope.cancel()


class Calls:
    """The calls of a node (2.5)."""

    def __init__(self, channel):
        self._channel = channel

    def call(self, name: str, request, timeout: float = 20):
        kind = proto.Signed if name in SIGNED else calls.Sealed
        method = self._channel.unary_unary(f"/chartmesh.peer.v1.Peer/{name}", _serialize, kind.FromString)
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _refused(error) from error

    def fetch(self, request, timeout: float = 60):
        method = self._channel.unary_stream("/chartmesh.peer.v1.Peer/Fetch", _serialize, calls.Part.FromString)
        try:
            yield from method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _refused(error) from error


def _serialize(message) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _refused(error) -> Exception:
    trailers = dict(error.trailing_metadata() or ())
    code = trailers.get("chartmesh-code")
    if code is None:
        return ConnectionError(f"{error.code().name}: {error.details()}")
    if STATUS.get(code) != error.code().name:
        return AssertionError(f"{code} came with {error.code().name}")
    return Refused(code, sealed=False)
