"""The programs of the shop."""

import json
import re
import sys

import pytest

from meshcore.demo.load import Page
from meshcore.demo.services import catalog, page, ratings, shop, tastings, web
from meshcore.demo.services.web import Answer, Asked

ASKED = Asked("/", {})


@pytest.fixture(autouse=True)
def mesh(monkeypatch):
    """The services of each other without a network; returns what was asked."""
    calls = []
    others = {"catalog": catalog, "ratings": ratings, "tastings": tastings}

    def ask(asked: Asked, service: str, path: str) -> Answer:
        calls.append((service, path))
        return others[service.partition(":")[0]].answer(Asked(path, asked.headers))

    for module in (shop, tastings):
        monkeypatch.setattr(module, "ask", ask)
    return calls


def runs(monkeypatch, version: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tastings", "127.0.0.1", "9080", version])


@pytest.mark.parametrize(
    ("version", "drawn"), [("v1", None), ("v2", "cups ink"), ("v3", "cups colour")]
)
def test_the_versions_look_different(monkeypatch, mesh, version, drawn):
    runs(monkeypatch, version)
    html = shop.answer(Asked("/tea/darjeeling", {})).body.decode()
    assert re.findall(r'class="(cups \w+)"', html) == ([drawn] if drawn else [])
    assert html.count("●") == (5 if drawn else 0)
    assert f"tastings {version} answered" in html
    assert (("ratings:9080", "/darjeeling") in mesh) == bool(drawn)


def test_who_wants_json_gets_it(monkeypatch):
    runs(monkeypatch, "v2")
    given = shop.answer(Asked("/", {"accept": "application/json"}))
    found = Page(given.status, 1.0, json.loads(given.body))
    assert (found.version, found.is_whole) == ("v2", True)
    assert found.ratings == {"status": 200, "cups": 5}


def test_a_service_that_refuses_is_on_the_page_with_its_reason(monkeypatch):
    runs(monkeypatch, "v2")
    refused = Answer(403, b"RBAC: <access> denied")
    monkeypatch.setattr(tastings, "ask", lambda *_: refused)
    given = shop.answer(Asked("/", {"accept": "application/json"}))
    assert not Page(given.status, 1.0, json.loads(given.body)).is_whole
    assert "ratings answered 403: RBAC: &lt;access&gt; denied" in shop.answer(ASKED).body.decode()


@pytest.mark.parametrize("path", ["/tea/", "/tea/../x", "/tea/coffee", "/x", "/tea/sencha/x"])
def test_other_pages_are_not_there(monkeypatch, path):
    runs(monkeypatch, "v1")
    assert shop.answer(Asked(path, {})).status == 404


def test_every_tea_has_a_note_and_cups():
    assert set(catalog.TEAS) == set(tastings.NOTES) == set(ratings.CUPS)
    assert json.loads(catalog.answer(ASKED).body) == {"names": list(catalog.TEAS)}


def test_a_page_without_its_parts_is_still_a_page():
    dead = {"status": 503, "why": "no healthy upstream"}
    html = page.page({"tea": "sencha", "catalog": dead, "tastings": dead})
    assert "catalog answered 503" in html
    assert "tastings did not answer" in html


def test_nobody_who_listens_is_an_answer(monkeypatch):
    monkeypatch.setenv("MESHCORE_OUTBOUND", "http://127.0.0.1:1")
    given = web.ask(ASKED, "ratings:9080", "/")
    assert given.status == 502
    assert b"ratings:9080" in given.body


def test_trace_headers_are_handed_on(monkeypatch):
    sent = {}

    class Connection:
        def __init__(self, *_: object, **__: object) -> None: ...
        def request(self, *_: object, headers: dict[str, str]) -> None:
            sent.update(headers)
            raise ConnectionRefusedError

        def close(self) -> None: ...

    monkeypatch.setattr("http.client.HTTPConnection", Connection)
    web.ask(Asked("/", {"traceparent": "00-1", "cookie": "x", "x-request-id": "r"}), "a:1", "/")
    assert sent == {"traceparent": "00-1", "x-request-id": "r", "host": "a:1"}
