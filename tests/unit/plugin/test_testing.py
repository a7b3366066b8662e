import asyncio
import itertools

import pytest

from meshcore.errors import PluginError, RequestGone, UndeclaredAttribute
from meshcore.plugin import (
    Modify,
    RouteTo,
    allow,
    authorize,
    deny,
    on_request,
    on_response,
    route,
)
from meshcore.testing import (
    PluginTest,
    assert_cache_sound,
    request,
    response,
    run_authorize,
    run_request,
    run_response,
    run_route,
)

WEB = "spiffe://cluster.local/ns/shop/sa/web"


def test_a_request_has_what_it_was_made_of():
    seen = []

    @authorize
    def look(r):
        seen.extend([r.method, r.path, r.query, r.host, r.principal, r.namespace, r.ip, r.port])
        seen.extend([r.mtls, r.headers["X-A"], r.headers["x-b"], "x-a" in r.headers])
        seen.extend([list(r.headers), len(r.headers), r.headers["host"], r.scheme, r.protocol])
        return allow()

    assert run_authorize(
        look, request("POST", "/a?b=c", headers={"X-A": "1"}, principal=WEB)
    ).allowed
    assert seen[:8] == ["POST", "/a", "b=c", "service", WEB, "shop", "127.0.0.1", 80]
    assert seen[8:] == [True, "1", None, True, ["x-a"], 1, "service", "http", "HTTP/1.1"]


def test_an_undeclared_read_is_refused_with_the_line_to_write():
    @authorize(reads=["source.principal"])
    def nosy(r):
        return allow() if r.headers["x-tenant"] else deny()

    outcome = run_authorize(nosy, request())
    assert outcome.status == 503
    assert isinstance(outcome.error, UndeclaredAttribute)
    assert 'reads=["source.principal", "request.headers[x-tenant]"]' in str(outcome.error)


def test_a_hook_with_reads_cannot_list_headers():
    @authorize(reads=["request.headers[a]"])
    def nosy(r):
        return allow() if list(r.headers) else deny()

    assert isinstance(run_authorize(nosy, request()).error, UndeclaredAttribute)


def test_a_request_is_gone_when_the_hook_has_returned():
    kept = []

    @authorize
    def keep(r):
        kept.append(r)
        return allow()

    run_authorize(keep, request())
    with pytest.raises(RequestGone):
        _ = kept[0].path
    with pytest.raises(RequestGone):
        list(kept[0].headers)


@pytest.mark.parametrize("answer", [None, True, "allow", RouteTo(host="a"), Modify()])
def test_an_answer_that_is_no_decision_is_a_refusal(answer):
    @authorize
    def odd(_):
        return answer

    outcome = run_authorize(odd, request())
    assert outcome.status == 503
    assert isinstance(outcome.error, PluginError)


def test_on_error_says_what_a_failure_means():
    @authorize(on_error="allow-unsafe")
    def open_door(_):
        raise SystemExit

    @route
    def lost(_):
        raise ValueError

    @on_request
    def broken(_):
        raise ValueError

    assert run_authorize(open_door, request()).allowed
    assert run_route(lost, request()).abstained
    assert run_request(broken, request()).status == 503


def test_coroutines_are_run_within_their_limit():
    @authorize(timeout="20ms")
    async def forever(_):
        await asyncio.Event().wait()

    @authorize
    async def soon(_):
        return deny(404)

    assert isinstance(run_authorize(forever, request()).error, TimeoutError)
    assert run_authorize(soon, request()).status == 404


def test_responses_are_changed():
    @on_response(reads=["response.code", "response.headers[server]"])
    def hide(_, r):
        if r.status >= 500:
            return Modify(body=b"{}", remove_headers=["server"])
        return Modify(set_headers={"x-server": r.headers["server"] or "none"})

    bad = run_response(hide, request(), response(500))
    assert bad.remove_headers == ("server",)
    assert run_response(hide, request(), response()).set_headers == {"x-server": "none"}


def test_a_sound_hook_is_found_sound():
    @authorize(reads=["source.principal"], cache="1s")
    def sound(r):
        return allow() if r.principal == WEB else deny()

    assert_cache_sound(sound, [request(principal=WEB), request()])


def test_a_hook_that_depends_on_what_changes_is_found_out():
    turns = itertools.count()

    @authorize(reads=["source.principal"], cache="1s")
    def fickle(_):
        return allow() if next(turns) % 2 else deny()

    with pytest.raises(AssertionError, match="depends on more than it declares"):
        assert_cache_sound(fickle, [request()])


def test_a_hook_that_swallows_its_undeclared_read_is_still_sound():
    @authorize(reads=[], cache="1s")
    def sly(r):
        try:
            return allow() if r.path == "/" else deny()
        except UndeclaredAttribute:
            return deny(404)

    assert_cache_sound(sly, [request("GET", "/"), request("GET", "/x")])


def test_what_is_no_hook_is_refused():
    with pytest.raises(PluginError, match="is no hook"):
        run_authorize(lambda _: allow(), request())
    with pytest.raises(PluginError, match="declares no reads"):
        assert_cache_sound(authorize(lambda _: allow()), [])


@pytest.mark.parametrize(
    ("host", "is_met"),
    [
        ("reviews", True),
        ("Reviews.:9080", True),
        ("[::1]:80", True),
        ("[::2]", False),
        ("a", False),
    ],
)
def test_hosts_are_met_as_in_the_data_plane(tmp_path, host, is_met):
    (tmp_path / "policy.py").write_text("""
from meshcore.plugin import authorize, deny
@authorize(hosts=["reviews", "::1"])
def refuse(request): return deny(418)
""")
    outcome = PluginTest(str(tmp_path / "policy.py")).authorize(request(host=host))
    assert (outcome.status == 418) is is_met
