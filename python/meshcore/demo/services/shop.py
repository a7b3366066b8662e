"""`shop` is the front page: it asks `catalog` and `tastings` and puts both on a page."""

import json
from http import HTTPStatus

from meshcore.demo.services.page import page
from meshcore.demo.services.web import Answer, Asked, ask, serve

_FIRST = "sencha"


def answer(asked: Asked) -> Answer:
    """Answers `/` and `/tea/NAME`: a page, or what is on it for who wants JSON."""
    path = asked.path.partition("?")[0]
    name = path.removeprefix("/tea/") if path.startswith("/tea/") else _FIRST
    if path != "/" and not (path.startswith("/tea/") and name.isalpha() and name.isascii()):
        return Answer(HTTPStatus.NOT_FOUND, b"the shop has no such page\n", "text/plain")
    catalog = ask(asked, "catalog:9080", f"/{name}").to_json()
    if catalog["status"] == HTTPStatus.NOT_FOUND:
        return Answer(HTTPStatus.NOT_FOUND, b"the shop has no such tea\n", "text/plain")
    found = {
        "tea": name,
        "catalog": catalog,
        "tastings": ask(asked, "tastings:9080", f"/{name}").to_json(),
    }
    if "application/json" in asked.headers.get("accept", ""):
        return Answer(HTTPStatus.OK, json.dumps(found).encode())
    return Answer(HTTPStatus.OK, page(found).encode(), "text/html; charset=utf-8")


if __name__ == "__main__":
    serve(answer)
