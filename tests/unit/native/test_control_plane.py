import json
import socket
import threading
import time
from contextlib import suppress

import grpc
import pytest
from tests.unit.native.ads import METHOD, Client, field, node
from tests.unit.native.conftest import native

from meshcore.errors import NativeError, SnapshotRejected, StaleRevision, StartFailed


def service(name, namespace="one", export_to=()):
    return f"service/{namespace}/{name}", {
        "service": {
            "origin": {"kind": "Service", "namespace": namespace, "name": name},
            "host": f"{name}.{namespace}.svc.cluster.local",
            "name": name,
            "namespace": namespace,
            "ports": [{"number": 80, "name": "http", "protocol": "http"}],
            "location": "internal",
            "resolution": "static",
            "selector": {"app": name},
            "export_to": list(export_to),
        }
    }


def workload(app, address, namespace="one"):
    return f"workload/{namespace}/{app}-{address}", {
        "workload": {
            "origin": {"kind": "Pod", "namespace": namespace, "name": app},
            "name": f"{app}-{address}",
            "namespace": namespace,
            "address": address,
            "labels": {"app": app},
            "service_account": app,
        }
    }


def written(*resources):
    return [(name, json.dumps(value).encode()) for name, value in resources]


MESH = written(
    service("web"),
    service("hidden", "two", ["own"]),
    service("shown", "two", [{"namespace": "one"}]),
    workload("web", "10.0.0.1"),
    workload("shown", "10.0.0.2", "two"),
)


def started(state, **options):
    return native.ControlPlane(
        native.ControlOptions(state=str(state), plain="127.0.0.1:0", **options)
    )


@pytest.fixture
def plane(tmp_path):
    plane = started(tmp_path)
    plane.update(1, MESH)
    yield plane
    plane.stop()


@pytest.fixture
def address(plane):
    return plane.addresses()["plain"]


def until(condition, within=10.0):
    end = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)
    return found


def only_client(plane):
    clients = plane.status()["clients"]
    return clients[0] if len(clients) == 1 else None


def test_a_client_is_told_what_it_asks_for_and_what_changes(plane, address):
    with Client(address) as client:
        client.ask("host/web")
        first = client.take()
        assert first.revision == "1"
        assert set(first.resources) == {
            "self",
            "trust/mesh",
            "host/web",
            "service/one/web",
            "workload/one/web-10.0.0.1",
        }
        assert first.resources["host/web"] == {
            "found": ["service/one/web", "workload/one/web-10.0.0.1"]
        }
        plane.update(2, written(workload("web", "10.0.0.3")), ["workload/one/web-10.0.0.1"])
        second = client.take()
        assert (second.revision, second.removed) == ("2", ["workload/one/web-10.0.0.1"])
        assert set(second.resources) == {"host/web", "workload/one/web-10.0.0.3"}
        client.ask(drop=["host/web"])
        gone = ["host/web", "service/one/web", "workload/one/web-10.0.0.3"]
        assert client.take().removed == gone


def test_who_comes_back_is_sent_what_is_other(plane, address):
    with Client(address) as client:
        client.ask("host/web", "host/shown.two")
        first = client.take()
    plane.update(2, written(workload("shown", "10.0.0.7", "two")))
    with Client(address) as client:
        client.ask("host/web", "host/shown.two", have=first.versions)
        again = client.take()
        assert set(again.resources) == {"host/shown.two", "workload/two/shown-10.0.0.7"}
    have = {**first.versions, **again.versions}
    with Client(address) as client:
        client.ask("host/web", "host/shown.two", have=have)
        assert client.take()[2:] == ({}, {}, [])


def test_versions_are_the_same_after_a_restart(tmp_path):
    told = []
    for _ in range(2):
        plane = started(tmp_path)
        plane.update(1, MESH)
        with Client(plane.addresses()["plain"]) as client:
            client.ask("host/web")
            told.append(client.take().versions)
        plane.stop()
    assert told[0] == told[1]


def test_what_is_not_exported_to_a_namespace_is_not_sent_there(address):
    seen = {}
    for namespace in ("one", "two", "three"):
        with Client(address, namespace) as client:
            client.ask("*", "host/hidden.two")
            response = client.take()
            seen[namespace] = {name for name in response.resources if name.startswith("service/")}
            assert bool(response.resources["host/hidden.two"]["found"]) == (namespace == "two")
    assert seen == {
        "one": {"service/one/web", "service/two/shown"},
        "two": {"service/one/web", "service/two/hidden"},
        "three": {"service/one/web"},
    }


def test_a_refusal_shows_in_the_status(plane, address):
    with Client(address) as client:
        client.ask("host/web")
        client.answer(client.receive(), {"service/one/web": "http[0]: no"})
        refused = until(lambda: (found := only_client(plane)) and found["refused"])
        assert [(one["name"], one["reason"]) for one in refused] == [
            ("service/one/web", "http[0]: no")
        ]
        assert b"pilot_total_xds_rejects 1\n" in plane.metrics()
        changed = service("web", export_to=["all"])
        plane.update(2, written(changed))
        client.take()
        until(lambda: not only_client(plane)["refused"])
    until(lambda: not plane.status()["clients"])


def test_who_does_not_acknowledge_is_sent_the_difference_later(plane, address):
    with Client(address) as client:
        client.ask("host/web")
        first = client.receive()
        for number in range(2, 300):
            gone = [f"workload/one/web-10.1.0.{(number - 1) % 250}"] if number > 2 else []
            plane.update(number, written(workload("web", f"10.1.0.{number % 250}")), gone)
        status = only_client(plane)
        assert (status["is_current"], status["sent_revision"]) == (False, 1)
        client.answer(first)
        second = client.take()
        assert second.revision == "299"
        assert set(second.resources) == {"host/web", "workload/one/web-10.1.0.49"}
        until(lambda: only_client(plane)["is_current"])


def test_a_client_that_says_nothing_waits_for_the_first_update(tmp_path):
    plane = started(tmp_path)
    with Client(plane.addresses()["plain"]) as client:
        client.ask("host/web")
        assert plane.status()["revision"] is None
        plane.update(5, MESH)
        assert client.take().revision == "5"
    plane.stop()


@pytest.mark.parametrize(
    ("request_bytes", "code", "part"),
    [
        (b"", grpc.StatusCode.INVALID_ARGUMENT, "node is missing"),
        (field(1, field(1, b"x")), grpc.StatusCode.INVALID_ARGUMENT, "metadata.NAMESPACE"),
        (b"\xff\xff\xff", grpc.StatusCode.INTERNAL, ""),
    ],
)
def test_nonsense_ends_the_stream_with_a_reason(address, request_bytes, code, part):
    with Client(address) as client:
        client.send(request_bytes)
        found, details = client.error()
        assert found == code
        assert part in details


def test_a_key_that_is_none_ends_the_stream(address):
    with Client(address) as client:
        client.ask("cluster/web")
        code, details = client.error()
        assert (code, "is no key" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_a_workload_does_not_register_without_proof(plane, address):
    with Client(address, MESHCORE_SERVICE="web", INSTANCE_IPS="10.0.0.9") as client:
        client.ask()
        code, details = client.error()
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert "a token is missing" in details
    assert plane.status()["workloads"] == []


def test_other_calls_and_other_bytes_are_refused(plane, address):
    with grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/a.B/C", None, None)(b"", timeout=10)
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    host, port = address.rsplit(":", 1)
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01" + b"\xff" * 500):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(junk)
            with suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass
    with Client(address) as client:
        client.ask("host/web")
        assert client.take().revision == "1"
    assert plane.status()["revision"] == 1


def test_a_thousand_streams_at_once_are_answered(plane, address):
    ended = threading.Event()
    first = node("one", "client", {}) + field(3, b"host/web")

    def requests():
        yield first
        ended.wait(60)

    channels = [
        grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(100)
    ]
    calls = [channel.stream_stream(METHOD, None, None) for channel in channels]
    streams = [call(requests(), timeout=60) for call in calls for _ in range(10)]
    assert all(len(next(stream)) > 100 for stream in streams)
    assert len(plane.status()["clients"]) == 1000
    # They are the same client in all but its stream, so all share two answers.
    assert b"meshcore_control_answers 2\n" in plane.metrics()
    ended.set()
    for channel in channels:
        channel.close()
    until(lambda: not plane.status()["clients"])


def test_a_change_that_cannot_be_taken_changes_nothing(plane):
    good, bad = written(workload("web", "10.0.0.8")), [("route/one/r", b'{"route": {}}')]
    with pytest.raises(SnapshotRejected, match="route/one/r: missing field"):
        plane.update(2, good + bad)
    assert plane.status()["revision"] == 1
    with pytest.raises(StaleRevision):
        plane.update(1, good)
    plane.stop()
    with pytest.raises(NativeError, match="stopped"):
        plane.update(2, good)


@pytest.mark.usefixtures("plane")
def test_it_does_not_start_where_it_cannot(tmp_path, address):
    with pytest.raises(StartFailed, match="used by another control plane"):
        started(tmp_path)
    with pytest.raises(StartFailed, match="cannot listen"):
        native.ControlPlane(native.ControlOptions(state=_fresh(tmp_path), plain=address))
    with pytest.raises(StartFailed, match="loopback"):
        native.ControlPlane(native.ControlOptions(state=_fresh(tmp_path), plain="0.0.0.0:0"))


def _fresh(tmp_path):
    directory = tmp_path / f"state-{time.monotonic_ns()}"
    directory.mkdir(0o700)
    return str(directory)
