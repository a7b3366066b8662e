"""A client of delta ADS on grpcio, with the few messages that it needs written by hand.

Source of the numbers: `envoy/service/discovery/v3/discovery.proto`.
"""

import json
import queue
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import grpc

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
RESOURCE = "type.googleapis.com/meshcore.v1.Resource"
REFUSALS = "type.googleapis.com/meshcore.v1.Refusals"
WITHIN = 10.0


class Response(NamedTuple):
    """A response with its resources as JSON and their versions."""

    revision: str
    nonce: str
    resources: Mapping[str, object]
    versions: Mapping[str, str]
    removed: list[str]


class Client:
    """One stream. What is received is a `Response`, or the error that ended the stream."""

    def __init__(self, address, namespace="one", workload="client", **metadata):
        self._requests = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        call = self._channel.stream_stream(METHOD, None, None)
        self._responses = call(
            iter(self._requests.get, None), timeout=WITHIN, metadata=metadata.pop("headers", None)
        )
        self._node = node(namespace, workload, metadata)

    def ask(self, *keys, drop=(), have: Mapping[str, str] | None = None):
        request = self._node + texts(3, keys) + texts(4, drop)
        for name, version in (have or {}).items():
            request += field(5, field(1, name.encode()) + field(2, version.encode()))
        self._node = b""
        self._requests.put(request)

    def send(self, request: bytes):
        self._requests.put(request)

    def answer(self, response: Response, refused: Mapping[str, str] | None = None):
        request = field(6, response.nonce.encode())
        if refused:
            told = [{"name": name, "reason": reason} for name, reason in refused.items()]
            details = field(1, REFUSALS.encode()) + field(2, json.dumps(told).encode())
            request += field(7, b"\x08\x03" + field(2, b"refused") + field(3, details))
        self._requests.put(request)

    def receive(self) -> Response:
        return read(next(self._responses))

    def take(self) -> Response:
        """Receives a response and acknowledges it."""
        response = self.receive()
        self.answer(response)
        return response

    def error(self) -> tuple[grpc.StatusCode, str]:
        """Waits for the error that ends the stream."""
        try:
            while True:
                next(self._responses)
        except grpc.RpcError as error:
            return error.code(), error.details()

    def close(self):
        self._responses.cancel()
        self._requests.put(None)
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def node(namespace: str, workload: str, metadata: Mapping[str, object]) -> bytes:
    fields = {"NAMESPACE": namespace, "WORKLOAD_NAME": workload, **metadata}
    values = b"".join(
        field(1, field(1, name.encode()) + field(2, value_of(value)))
        for name, value in fields.items()
    )
    identifier = f"sidecar~10.0.0.9~{workload}.{namespace}~{namespace}.svc.cluster.local"
    return field(1, field(1, identifier.encode()) + field(3, values))


def value_of(value: object) -> bytes:
    """Writes a `google.protobuf.Value`."""
    if isinstance(value, dict):
        entries = (
            field(1, field(1, key.encode()) + field(2, value_of(one))) for key, one in value.items()
        )
        return field(5, b"".join(entries))
    return field(3, str(value).encode())


def texts(number, all_of_them) -> bytes:
    return b"".join(field(number, text.encode()) for text in all_of_them)


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def read(message: bytes) -> Response:
    revision, nonce, resources, versions, removed = "", "", {}, {}, []
    for number, value in fields(message):
        if number == 1:
            revision = value.decode()
        elif number == 2:
            parts = dict(fields(value))
            name = parts[3].decode()
            versions[name] = parts[1].decode()
            typed = dict(fields(parts[2]))
            assert typed[1].decode() == RESOURCE
            resources[name] = json.loads(typed[2])
        elif number == 5:
            nonce = value.decode()
        elif number == 6:
            removed.append(value.decode())
    return Response(revision, nonce, resources, versions, removed)


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Reads the fields of a message in which all are texts, bytes or messages."""
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        length, at = read_varint(message, at)
        yield key >> 3, message[at : at + length]
        at += length


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
