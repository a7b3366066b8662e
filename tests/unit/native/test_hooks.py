import ast
import gc
import sys
import time
import urllib.request
import weakref

import pytest
from tests.unit.native.conftest import mesh

from meshcore.errors import SnapshotRejected, StaleRevision
from meshcore.plugin.registry import Registry, load


def many(one, count=40, path="/", **headers):
    return [one.get(path, **headers) for _ in range(count)]


def test_a_policy_allows_with_headers_and_denies_with_its_reason(start):
    one = start("""
@authorize
def paying(request):
    if request.headers["X-Tenant"] == "acme":
        return allow(set_headers={"x-plan": "premium"}, remove_headers=["x-tenant"])
    return deny(403, f"{request.method} {request.path} is not paid", "TP001")
""")
    for answer in many(one, x_tenant="acme"):
        assert answer.status == 200
        assert answer.seen["x-plan"] == "premium"
        assert "x-tenant" not in answer.seen
    for answer in many(one, path="/premium"):
        assert answer.status == 403
        assert answer.headers["x-meshcore-code"] == "TP001"
        assert answer.body == b"GET /premium is not paid"


def test_a_short_hook_is_called_on_the_worker_once_it_has_shown_to_be_short(start):
    one = start("@authorize\ndef quick(request): return allow()\n")
    many(one, 100)
    assert one.metric("meshcore_hook_queued_calls_total", "policy.quick") >= 16
    assert one.metric("meshcore_hook_inline_calls_total", "policy.quick") >= 50


def test_a_blocking_hook_is_never_called_on_the_worker(start):
    one = start("@authorize(blocking=True)\ndef slow(request): return allow()\n")
    assert {answer.status for answer in many(one, 50)} == {200}
    assert one.metric("meshcore_hook_inline_calls_total", "policy.slow") == 0


def test_all_attributes_are_there_inline_and_queued(start):
    one = start("""
@authorize(match={"paths": ["/see"]})
def see(request):
    fields = (request.method, request.path, request.query, request.host, request.scheme,
              request.protocol, request.principal, request.namespace, request.ip, request.port,
              request.mtls, request.headers.get("x-a"), request.headers.get("x-b", "none"),
              "x-a" in request.headers, "x-b" in request.headers, 1 in request.headers,
              sorted(request.headers), request.attribute("request.headers[X-A]"))
    return deny(418, repr(fields))
""")
    seen = {answer.body.decode() for answer in many(one, path="/see/it?q=1", x_a="\u00fc")}
    assert len(seen) == 1, seen
    fields = ast.literal_eval(seen.pop())
    assert fields[:6] == ("GET", "/see/it", "q=1", "reviews:9080", "http", "HTTP/1.1")
    assert fields[6:11] == (None, None, "127.0.0.1", 9080, False)
    assert fields[12:16] == ("none", True, False, False)
    assert "x-a" in fields[16]
    assert "host" not in fields[16]
    assert fields[11] == fields[17] == "\udcfc"


def test_declared_reads_are_enforced_and_name_the_line_to_write(start, caplog):
    one = start("""
@authorize(reads=["source.principal"])
def nosy(request):
    return allow() if request.headers["x-tenant"] else deny()
""")
    assert {answer.status for answer in many(one)} == {503}
    deadline = time.monotonic() + 5
    while "write reads" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 'write reads=["source.principal", "request.headers[x-tenant]"]' in caplog.text
    assert "policy.py:3" in caplog.text


def test_decisions_are_remembered_under_what_the_hook_reads(start):
    one = start("""
calls = 0
@authorize(reads=["request.headers[x-tenant]"], cache="60s")
def counted(request):
    global calls
    calls += 1
    return deny(403, f"{request.headers['x-tenant']} {calls}")
""")
    assert {answer.body for answer in many(one, x_tenant="a", x_other="1")} == {b"a 1"}
    assert {answer.body for answer in many(one, x_tenant="b")} == {b"b 2"}
    assert {answer.body for answer in many(one, x_tenant="a", x_other="2")} == {b"a 1"}
    one.proxy.forget_decisions()
    assert one.get(x_tenant="a").body == b"a 3"


def test_hooks_change_requests_and_responses(start):
    one = start("""
@on_request
def stamp(request):
    return Modify(set_headers={"x-stamp": request.path}, path="/other?x=1")

@on_response
def hide(request, response):
    return Modify(set_headers={"x-was": f"{response.status} {response.headers['x-app']}"},
                  remove_headers=["server"], status=203)
""")
    for answer in many(one, path="/it"):
        assert answer.status == 203
        assert answer.headers["x-was"] == "200 1"
        assert "server" not in answer.headers
        assert answer.seen["x-stamp"] == "/it"
        assert b'"/other?x=1"' in answer.body


def test_coroutines_run_side_by_side_on_their_own_loop(start):
    one = start("""
import asyncio
@authorize(timeout="5s")
async def patient(request):
    await asyncio.sleep(0.01)
    return allow(set_headers={"x-waited": "yes"})
""")
    assert {answer.seen["x-waited"] for answer in many(one, 20)} == {"yes"}
    assert one.metric("meshcore_hook_awaited_calls_total", "policy.patient") == 20


def test_hooks_are_called_in_order_until_one_denies(start):
    one = start("""
@authorize(order=2)
def second(request): return deny(403, "second")
@authorize(order=1)
def first(request): return deny(403, "first") if request.path == "/1" else abstain()
""")
    assert one.get("/1").body == b"first"
    assert one.get("/2").body == b"second"


def test_only_matching_requests_enter_python(start):
    one = start("""
@authorize(match={"paths": ["/admin/"], "methods": {"GET"}}, hosts=["reviews"])
def closed(request): return deny()
""")
    assert one.get("/admin/x").status == 403
    assert one.get("/administrator").status == 200


def test_telemetry_hooks_see_every_request_in_batches(start, tmp_path):
    out = tmp_path / "seen.txt"
    one = start(f"""
@telemetry(reads=["request.headers[x-tenant]"])
def spend(records):
    with open({str(out)!r}, "a") as file:
        for r in records:
            print(r.direction, r.method, r.path, r.status, r.attribute("request.headers[x-tenant]"),
                  r.duration_us > 0, r.response_bytes > 0, file=file)
""")
    many(one, 30, path="/t", x_tenant="acme")
    deadline = time.monotonic() + 10
    lines = []
    while len(lines) < 30 and time.monotonic() < deadline:
        time.sleep(0.05)
        lines = out.read_text().splitlines() if out.exists() else []
    assert lines == ["inbound GET /t 200 acme True True"] * 30


def test_new_hooks_replace_the_old_ones_and_their_decisions(start, tmp_path):
    one = start(
        "@authorize(reads=[], cache='60s')\ndef who(request): return deny(403, 'old')\n",
    )
    assert {answer.body for answer in many(one)} == {b"old"}
    path = tmp_path / "policy.py"
    path.write_text(path.read_text().replace("old", "new"))
    assert one.proxy.apply(mesh(2), load(str(path)).hooks) == 2
    assert {answer.body for answer in many(one)} == {b"new"}
    assert one.proxy.apply(mesh(3)) == 3, "hooks stay when none are given"
    assert one.get().body == b"new"
    assert one.proxy.apply(mesh(4), ()) == 4
    assert one.get().status == 200


def test_a_refused_change_leaves_the_hooks_in_force(start, tmp_path):
    one = start("@authorize\ndef who(request): return deny(403, 'old')\n")
    path = tmp_path / "policy.py"
    path.write_text(path.read_text().replace("old", "new"))
    hooks = load(str(path)).hooks
    one.proxy.apply(mesh(2))
    with pytest.raises(StaleRevision, match="revision 1"):
        one.proxy.apply(mesh(1), hooks)
    with pytest.raises(SnapshotRejected, match="mesh cannot be read"):
        one.proxy.apply(b"{", hooks)
    assert {answer.body for answer in many(one)} == {b"old"}


def test_the_interpreter_is_as_before_when_the_last_one_stops(start):
    one = start("@authorize\ndef who(request): return allow()\n")
    assert sys.getswitchinterval() < 0.005
    assert not gc.isenabled()
    one.proxy.stop()
    assert sys.getswitchinterval() == 0.005
    assert gc.isenabled()


def test_turns_are_longer_while_threads_fight_for_the_interpreter(start):
    one = start("""
import threading, time
end = time.monotonic() + 1.5
def spin():
    while time.monotonic() < end: pass
for _ in range(20): threading.Thread(target=spin).start()
@authorize
def who(request): return allow()
""")
    deadline = time.monotonic() + 20
    for is_fought_over in (True, False):
        while (sys.getswitchinterval() >= 0.001) is not is_fought_over:
            assert time.monotonic() < deadline
            assert one.get().status == 200


def test_plugins_that_were_replaced_are_freed(start, tmp_path):
    one = start("@authorize\ndef who(request): return deny(403, 'first')\n")
    path = tmp_path / "policy.py"
    path.write_text(path.read_text() + "class Table: pass\ntable = Table()\n")
    plugins = Registry()
    replaced = []
    for revision in (2, 3, 4, 5, 6):
        plugins.load(str(path))
        one.proxy.apply(mesh(revision), plugins.hooks())
        assert one.get().status == 403
        replaced.append(weakref.ref(plugins.plugins[0].module.table))
    assert [table() for table in replaced[:2]] == [None, None]


def test_telemetry_hooks_that_were_replaced_see_and_count_no_more(start, tmp_path):
    path, seen = tmp_path / "policy.py", tmp_path / "seen"
    source = f"""
@telemetry
def tell(records):
    with open({str(seen)!r}, "a") as file:
        file.writelines(f"GENERATION {{record.path}}\\n" for record in records)
"""
    one = start(source.replace("GENERATION", "old"))
    path.write_text(path.read_text().replace("old", "new"))
    one.proxy.apply(mesh(2), load(str(path)).hooks)
    for number in range(20):
        one.get(f"/{number}")
    deadline = time.monotonic() + 10
    while not seen.exists() or "/19" not in seen.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "old" not in seen.read_text()
    text = scrape(one)
    named = [line.rpartition(" ")[0] for line in text.splitlines() if "policy.tell" in line]
    assert named
    assert len(named) == len(set(named))


def scrape(one) -> str:
    address = one.proxy.addresses()["metrics"]
    with urllib.request.urlopen(f"http://{address}/stats/prometheus", timeout=10) as got:
        return got.read().decode()
