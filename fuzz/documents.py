"""What holds for any document, as functions of its text: entry functions for fuzzers and tests."""

import json
from functools import cache
from itertools import count

from meshcore.config import Result, Source, compile_mesh
from meshcore.config.expand import expand
from meshcore.errors import Diagnostic, NativeError, SnapshotRejected
from meshcore.native import Options, Proxy

_REVISIONS = count(1)
_NODE = {
    "name": "web",
    "namespace": "default",
    "labels": {"app": "web", "version": "v1"},
    "identity": "spiffe://cluster.local/ns/default/sa/web",
    "address": "127.0.0.1",
    "ports": [{"number": 9080, "application": "127.0.0.1:9080"}],
    "listen": {},
}


def documents(data: bytes) -> None:
    """Istio's documents and the short form, as a file.

    Each text gets an answer, the same each time, whose findings have a place in it. What is not
    refused is plain data that the data plane takes, and is what it expands to.
    """
    source = Source("f.yaml", data)
    result = compile_mesh([source], 1)
    again = compile_mesh([source], 1)
    assert (again.mesh, again.diagnostics) == (result.mesh, result.diagnostics), "not twice alike"
    assert (result.mesh is None) == any(found.is_refusal for found in result.diagnostics)
    for found in result.diagnostics:
        _has_a_place(found, data)
    if result.mesh is not None:
        _is_taken(result)
        _is_what_it_expands_to(result)


def short_form(data: bytes) -> None:
    """Services in the short form: as `documents`, with the input below `services`."""
    documents(b"services:\n" + b"".join(b"  " + line for line in data.splitlines(keepends=True)))


def _has_a_place(found: Diagnostic, data: bytes) -> None:
    assert found.message
    assert found.code
    assert found.file in {"f.yaml", ""}
    assert 0 <= found.line <= len(data) + 1
    assert found.column >= 0
    assert all(char.isprintable() or char == "\n" for char in found.render()), found.render()
    json.dumps(found.to_json())


def _is_taken(result: Result) -> None:
    mesh = result.required()
    settings = mesh["settings"]
    log = settings.get("access_log")
    if log is not None:  # it would be opened, wherever the input says
        settings = settings | {"access_log": log | {"path": "/dev/null"}}
    model = mesh | {"revision": next(_REVISIONS), "settings": settings}
    try:
        _proxy().apply(json.dumps(model, allow_nan=False).encode())
    except NativeError as error:
        # The pattern of the access log is known to the data plane alone, which says its column.
        if not str(error).startswith("access log: access log format, column"):
            raise
    except SnapshotRejected as error:
        raise AssertionError(f"not refused before the data plane sees it: {error}") from error


def _is_what_it_expands_to(result: Result) -> None:
    text = expand(result.documents)
    expanded = compile_mesh([Source("f.yaml", text)], 1)
    assert expanded.mesh is not None, [str(found) for found in expanded.diagnostics]
    assert _placeless(expanded.mesh) == _placeless(result.mesh), "expands to something else"


def _placeless(value: object) -> object:
    """Returns `value` without the places of what it was made of."""
    match value:
        case dict():
            return {key: _placeless(inner) for key, inner in value.items() if key != "line"}
        case list():
            return [_placeless(inner) for inner in value]
        case _:
            return value


@cache
def _proxy() -> Proxy:
    """Returns a data plane that listens nowhere, and takes one mesh after the other."""
    empty = compile_mesh([], 0).required()
    return Proxy(json.dumps(empty).encode(), json.dumps(_NODE).encode(), Options())


TARGETS = {"documents": documents, "short_form": short_form}
