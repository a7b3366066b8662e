"""The child process of a sidecar: `python -m meshcore.control.prepare`.

Reads a request (JSON) from standard input and does all that needs the documents in Python's
memory: compile, number, compare with what is in force, find the sidecar's own workload. Writes
two lines, so that the sidecar need not read the mesh itself:

    {"revision": N, "diagnostics": [...], "own": {...}, ...}
    {mesh for the data plane} or null

Exit status: 0 prepared; 65 (EX_DATAERR) refused, the second line is `null`; 1 nobody asks.
"""

import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from meshcore.config import compile_mesh
from meshcore.config.resources import AccessLogFormat, Mesh
from meshcore.control import compare, numbering, shrink
from meshcore.control.settings import Wanted, mesh_name
from meshcore.control.workload import NotFound, Own, find
from meshcore.errors import ConfigError, Diagnostic
from meshcore.sources.file import read


class Request(TypedDict):
    """What the sidecar asks for."""

    mesh: str
    state: str
    wanted: dict[str, Any]
    access_log: str | None
    above: int
    """The revision that is in force; 0 if none is."""
    in_force: str | None
    """File of what is in force, as this process wrote it once."""
    is_new: bool
    """Whether the revision must be another one than is in force."""
    allow_shrink: bool


class Head(TypedDict):
    """The first line of the answer."""

    revision: int
    diagnostics: list[dict[str, object]]
    trust_domain: str
    trust_domain_aliases: list[str]
    services: int
    own: Own | None
    own_missing: str
    """Why there is no `own`; empty if there is."""
    own_is_ambiguous: bool
    changes: list[str]
    """What differs from what is in force."""


def main() -> int:
    """Answers the request on standard input; returns the exit status."""
    asked = sys.stdin.read()
    if not asked:
        return 1  # the sidecar ended before it asked
    request: Request = json.loads(asked)
    gc.disable()  # the process is gone before there is much to collect
    number = request["above"] + 1
    numbers = Path(request["state"], f"revision-{mesh_name(request['mesh'])}.json")
    try:
        sources = read([request["mesh"]])
        above = request["above"] + request["is_new"]
        number = numbering.number(numbers, sources, above)
        result = compile_mesh(sources, number)
        mesh = result.required()
        wanted = _wanted(request["wanted"])
        before = _in_force(request["in_force"])
        if before is not None and not request["allow_shrink"]:
            paths = Path(request["mesh"]), Path(request["state"])
            shrink.check(before, mesh, wanted, *paths)
    except ConfigError as error:
        return _write(_head(number, error.diagnostics, None), None)
    head = _head(number, result.diagnostics, mesh)
    _set_access_log(mesh, request["access_log"], result.access_log_format)
    try:
        head["own"] = find(mesh, wanted)
    except NotFound as error:
        head["own_missing"], head["own_is_ambiguous"] = error.why, error.is_ambiguous
    _keep_secrets(mesh, wanted)
    if before is not None:
        head["changes"] = compare.changes(before, mesh)
    return _write(head, mesh)


def _wanted(asked: Mapping[str, Any]) -> Wanted:
    words: dict[str, Any] = {**asked, "ports": tuple(asked["ports"])}
    return Wanted(**words)


def _head(revision: int, diagnostics: Sequence[Diagnostic], mesh: Mesh | None) -> Head:
    return {
        "revision": revision,
        "diagnostics": [item.to_json() for item in diagnostics],
        "trust_domain": mesh["settings"]["trust_domain"] if mesh else "",
        "trust_domain_aliases": mesh["settings"]["trust_domain_aliases"] if mesh else [],
        "services": len(mesh["services"]) if mesh else 0,
        "own": None,
        "own_missing": "",
        "own_is_ambiguous": False,
        "changes": [],
    }


def _in_force(path: str | None) -> Mesh | None:
    """Returns the mesh that is in force; `None` if the file of it cannot be read."""
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            file.readline()
            mesh: Mesh = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return mesh


def _keep_secrets(mesh: Mesh, wanted: Wanted) -> None:
    """Takes the credentials out that this workload has no business with."""
    mesh["credentials"] = [
        one
        for one in mesh["credentials"]
        if wanted.is_gateway and one["origin"]["namespace"] == wanted.namespace
    ]


def _set_access_log(mesh: Mesh, wanted: str | None, form: AccessLogFormat) -> None:
    settings = mesh["settings"]
    if wanted == "json":
        settings["access_log"] = {"path": "/dev/stdout", "format": "json"}
    elif wanted == "text":
        settings["access_log"] = {"path": "/dev/stdout", "format": {"text": None}}
    elif wanted is not None:  # a file, in the form that the mesh wants
        settings["access_log"] = {"path": wanted, "format": form}


def _write(head: Head, mesh: Mesh | None) -> int:
    try:
        for line in (head, mesh):
            # Not `json.dump`: only `dumps` is encoded in C, which is several times faster.
            sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the sidecar ended meanwhile
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains
        return 1
    return os.EX_OK if mesh is not None else os.EX_DATAERR


if __name__ == "__main__":
    sys.exit(main())
