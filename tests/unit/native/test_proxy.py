import json
import os
import signal
import socket
import threading
import time

import pytest
from tests.unit.native.conftest import mesh, native, node

from meshcore.errors import NativeError, PluginError, SnapshotRejected, StartFailed


def test_it_serves_where_it_says_and_ends_when_told(start):
    one = start()
    assert one.get("/x").status == 200
    assert one.proxy.status()["revision"] == 1
    assert one.proxy.wait(0) is False
    one.client.close()
    one.proxy.drain()
    assert one.proxy.wait(20) is True
    one.proxy.stop()
    assert one.proxy.wait(1) is True
    with pytest.raises(NativeError, match="has been stopped"):
        one.proxy.status()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(one.client.inbound.split(":"), timeout=5)


def test_metrics_are_text_and_values(start):
    one = start()
    one.get()
    deadline = time.monotonic() + 10
    while b"istio_requests_total{" not in one.proxy.metrics() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b"# EOF" in one.proxy.metrics(openmetrics=True)
    totals = one.proxy.totals()
    families = {family.name: family for family in totals.families}
    requests = families["istio_requests_total"]
    assert requests.kind == "counter"
    assert sum(sample.value for sample in requests.samples) == 1
    assert len(requests.samples[0].labels) == len(requests.label_names)
    durations = families["istio_request_duration_milliseconds"].samples[0].value
    assert durations.cumulated[-1] == 1
    assert len(durations.cumulated) == len(totals.bounds)
    assert totals.bounds[-1] == "+Inf"


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'{"revision": 1, "servces": []}'])
def test_what_is_no_mesh_is_refused(application, bad):
    with pytest.raises(SnapshotRejected, match="mesh cannot be read"):
        native.Proxy(bad, node(application), native.Options())


def test_an_address_in_use_is_named(application):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        where = json.loads(node(application))
        where["listen"]["inbound"] = f"127.0.0.1:{port}"
        with pytest.raises(StartFailed, match=f"inbound listener 127.0.0.1:{port}"):
            native.Proxy(mesh(), json.dumps(where).encode(), native.Options())


def test_hooks_without_functions_are_refused():
    hook = {
        "id": 7,
        "name": "a.b",
        "origin": "a:1",
        "stage": "authorize",
        "timeout_ms": 1,
        "on_error": "deny",
        "mode": "inline",
    }
    from meshcore import _native  # noqa: PLC0415, TID251 - the wrapper does not make such

    with pytest.raises(PluginError, match=r"hook a.b \(7\) has no function"):
        _native.Hooks(json.dumps([hook]).encode(), [])


def test_a_refused_change_is_shown(start):
    one = start()
    one.proxy.rejected(5, "a.yaml:3: nonsense")
    assert "a.yaml:3: nonsense" in json.dumps(one.proxy.status())


def test_signals_are_handled_while_it_waits(start):
    one = start()

    class Hurried(Exception):
        pass

    def hurry(*_):
        raise Hurried

    before = signal.signal(signal.SIGUSR1, hurry)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Hurried):
            one.proxy.wait(20)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told_to_start_its_own(start):
    one = start("@authorize\ndef who(request): return allow()\n")
    assert one.get().status == 200
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            one.proxy.status()
            os.write(write, b"it answered")
        except NativeError as error:
            one.proxy.stop()
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    said = os.read(read, 1000).decode()
    os.close(read)
    os.waitpid(child, 0)
    assert "forked" in said
    assert one.get().status == 200


def test_one_that_nobody_holds_ends(application):
    proxy = native.Proxy(mesh(), node(application), native.Options())
    host, port = proxy.addresses()["inbound"].split(":")
    del proxy
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
