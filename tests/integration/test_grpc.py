"""gRPC by grpcio, through two sidecars with mutual TLS between them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.harness import eventually

MESH = """
services:
  echo:
    port: 50051
    protocol: GRPC
    endpoints: ["@11:50051"]
    allow: [web]
  absent:
    port: 50051
    protocol: GRPC
    endpoints: ["@13:50051"]
  web:
    port: 8080
    endpoints: ["@21:8080"]
  stranger:
    port: 8080
    endpoints: ["@31:8080"]
"""
MB = 1 << 20
WITHIN = 10


@dataclass
class Echo(grpc.GenericRpcHandler):
    """Methods of bytes, so that no generated code is needed."""

    cancelled: threading.Event = field(default_factory=threading.Event)

    def service(self, details):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler,
            "Fail": grpc.unary_unary_rpc_method_handler,
            "Wait": grpc.unary_unary_rpc_method_handler,
            "Split": grpc.unary_stream_rpc_method_handler,
            "Forever": grpc.unary_stream_rpc_method_handler,
            "Join": grpc.stream_unary_rpc_method_handler,
            "Talk": grpc.stream_stream_rpc_method_handler,
        }
        name = details.method.rpartition("/")[2]
        kind = kinds.get(name)
        return kind(getattr(self, name.lower())) if kind else None

    def unary(self, request, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-first", sent.get("x-asked", "none"))])
        context.set_trailing_metadata([("x-last-bin", b"\x00\xff"), ("x-calls", "1")])
        return request

    def fail(self, request, context):
        code, _, message = request.decode().partition(" ")
        context.abort(grpc.StatusCode[code], message)

    def wait(self, request, context):
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(float(request))
        return request

    def split(self, request, context):
        del context
        yield from (request[i : i + 1] for i in range(len(request)))

    def forever(self, request, context):
        context.add_callback(self.cancelled.set)
        while context.is_active():
            yield request
            time.sleep(0.005)

    def join(self, requests, context):
        del context
        return b"".join(requests)

    def talk(self, requests, context):
        del context
        for request in requests:
            yield request.upper()


@pytest.fixture(scope="module")
def echo(shared):
    handler = Echo()
    server = grpc.server(ThreadPoolExecutor(8), handlers=[handler])
    server.add_insecure_port(f"{shared.address(11)}:50051")
    server.start()
    yield handler
    server.stop(None).wait()


@pytest.fixture(scope="module")
def sidecars(shared, echo):
    shared.write(MESH)
    del echo
    return shared.sidecars(("echo",), ("web",), ("stranger",), ("absent",))


@pytest.fixture
def ask(sidecars):
    """Returns a function that makes a method of a service as a caller sees it."""
    channels = []

    def make(method, service="echo", sidecar=1, kind="unary_unary"):
        channel = grpc.insecure_channel(
            sidecars[sidecar].addresses["outbound"],
            options=[
                ("grpc.default_authority", f"{service}:50051"),
                ("grpc.enable_retries", 0),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        channels.append(channel)
        return getattr(channel, kind)(f"/test.Echo/{method}")

    yield make
    for channel in channels:
        channel.close()


def test_unary_with_metadata_both_ways(ask):
    answer, call = ask("Unary").with_call(
        b"hello", timeout=WITHIN, metadata=[("x-asked", "why"), ("x-data-bin", b"\x01\x02")]
    )
    assert answer == b"hello"
    assert ("x-first", "why") in tuple(call.initial_metadata())
    trailing = dict(call.trailing_metadata())
    assert trailing["x-last-bin"] == b"\x00\xff"
    assert trailing["x-calls"] == "1"


def test_server_streaming(ask):
    stream = ask("Split", kind="unary_stream")(b"abcdef" * 100, timeout=WITHIN)
    assert b"".join(stream) == b"abcdef" * 100


def test_client_streaming(ask):
    parts = [bytes([i]) * i for i in range(1, 200)]
    joined = ask("Join", kind="stream_unary")(iter(parts), timeout=WITHIN)
    assert joined == b"".join(parts)


def test_talking_in_turns(ask):
    """Each question is only asked when the one before was answered."""
    answered = threading.Semaphore(1)

    def questions():
        for word in (b"one", b"two", b"three"):
            assert answered.acquire(timeout=WITHIN)
            yield word

    heard = []
    for answer in ask("Talk", kind="stream_stream")(questions(), timeout=WITHIN):
        heard.append(answer)
        answered.release()
    assert heard == [b"ONE", b"TWO", b"THREE"]


def test_a_message_of_a_megabyte(ask):
    body = bytes(range(256)) * (MB // 256)
    assert ask("Unary")(body, timeout=WITHIN) == body


def test_a_thousand_calls_one_after_the_other(ask):
    unary = ask("Unary")
    for number in range(1000):
        body = str(number).encode()
        assert unary(body, timeout=WITHIN) == body


def test_an_empty_message(ask):
    assert ask("Unary")(b"", timeout=WITHIN) == b""


@pytest.mark.parametrize("code", ["NOT_FOUND", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "ABORTED"])
def test_statuses_pass_with_their_message(ask, code):
    with pytest.raises(grpc.RpcError) as failed:
        ask("Fail")(f"{code} it is 100% your fault: \N{SNOWMAN}".encode(), timeout=WITHIN)
    assert failed.value.code().name == code
    assert failed.value.details() == "it is 100% your fault: \N{SNOWMAN}"


def test_an_unknown_method_is_unimplemented(ask):
    with pytest.raises(grpc.RpcError) as failed:
        ask("Nothing")(b"", timeout=WITHIN)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_a_call(ask):
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as failed:
        ask("Wait")(b"5", timeout=0.2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 2


def test_cancelling_reaches_the_server(ask, echo):
    echo.cancelled.clear()
    stream = ask("Forever", kind="unary_stream")(b"tick", timeout=WITHIN)
    assert next(stream) == b"tick"
    stream.cancel()
    with pytest.raises(grpc.RpcError) as failed:
        list(stream)
    assert failed.value.code() is grpc.StatusCode.CANCELLED
    assert echo.cancelled.wait(WITHIN)


def test_a_server_that_is_not_there_is_unavailable(ask):
    with pytest.raises(grpc.RpcError) as failed:
        ask("Unary", service="absent")(b"", timeout=WITHIN)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


def test_who_is_not_allowed_is_told_so(ask):
    with pytest.raises(grpc.RpcError) as failed:
        ask("Unary", sidecar=2)(b"", timeout=WITHIN)
    assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert failed.value.details() == "RBAC: access denied"


def test_both_sidecars_count_grpc_with_its_status(ask, sidecars):
    with pytest.raises(grpc.RpcError):
        ask("Fail")(b"DATA_LOSS x", timeout=WITHIN)

    def counted(sidecar, reporter):
        return [
            sample
            for family in text_string_to_metric_families(sidecar.scrape())
            for sample in family.samples
            if sample.name == "istio_requests_total"
            and sample.labels["reporter"] == reporter
            and sample.labels["grpc_response_status"] == "15"
        ]

    for sidecar, reporter in ((sidecars[0], "destination"), (sidecars[1], "source")):
        (sample,) = eventually(lambda s=sidecar, r=reporter: counted(s, r))
        assert sample.value == 1
        assert sample.labels["request_protocol"] == "grpc"
        assert sample.labels["response_code"] == "200"
        assert sample.labels["destination_service"] == "echo.default.svc.cluster.local"
