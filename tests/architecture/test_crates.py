"""What a crate may import: complete, so that an edge not written here does not exist."""

import json
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Own crates, low to high.
ROOMS = {
    "meshcore-model": set(),
    "meshcore-snapshot": {"meshcore-model"},
    "meshcore-policy": {"meshcore-model", "meshcore-snapshot"},
    "meshcore-balance": {"meshcore-model", "meshcore-snapshot"},
    "meshcore-http": {"meshcore-model"},
    "meshcore-io": {"meshcore-model"},
    "meshcore-tls": {"meshcore-model"},
    "meshcore-telemetry": {"meshcore-model"},
    "meshcore-discovery": {"meshcore-model", "meshcore-tls"},
}
ROOMS["meshcore-proxy"] = set(ROOMS) - {"meshcore-discovery"}
ROOMS["meshcore-py"] = set(ROOMS)

# Tables without locks or a random seed: the same few lines in each room that looks things up.
TABLES = {"foldhash", "hashbrown"}

# Crates of others, by room, with what each is for where its name does not say so.
OTHERS = {
    "meshcore-model": {"serde", "thiserror"},
    "meshcore-snapshot": {"regex", "arc-swap"} | TABLES,
    "meshcore-policy": set(),
    "meshcore-balance": TABLES,
    "meshcore-http": {
        "bytes",
        "h2",
        "http",  # heads as h2 hands them over
        "itoa",  # numbers into heads, without formatting machinery
        "memchr",  # scans for single bytes
        "wide",  # scans for classes of bytes, sixteen at a time
        "foldhash",  # names of fields
        "tokio",  # its I/O traits, for the wrapper that defers flushes of h2
    },
    "meshcore-io": {
        "tokio",
        "socket2",
        "libc",
        "libmimalloc-sys",  # makes the allocator give memory back
        "rustix",  # timers of the kernel
    },
    "meshcore-tls": {
        "base64",  # tokens, PEM
        "rustix",  # whose process this is: secrets of others are not used
        "serde",  # tokens, and the state of a control plane's authority
        "serde_json",
        "rustls",
        "tokio-rustls",
        "rustls-pki-types",  # certificates as rustls takes them
        "rustls-webpki",  # paths of certificates
        "rustls-native-certs",  # roots of the system, for servers outside the mesh
        "aws-lc-rs",
        "rcgen",  # the CA
        "x509-parser",  # SPIFFE identity and key usage of a certificate
        "arc-swap",  # rotation without a lock
        "parking_lot",
        "thiserror",
        "time",
    },
    "meshcore-telemetry": {
        "itoa",
        "parking_lot",  # the access log's queue
        "time",  # dates of lines
    }
    | TABLES,
    "meshcore-discovery": {
        "aws-lc-rs",  # SHA-256, for versions of resources
        "bytes",
        "http",
        "hyper",  # the connections of the server
        "hyper-util",  # hyper on tokio
        "parking_lot",
        "redb",  # the registry on disk
        "serde",  # refusals and registrations
        "thiserror",
        "tokio",
        "tokio-stream",  # responses as tonic wants them
        "tonic",
        "tonic-prost",  # messages of prost as tonic's
        "prost",
        "prost-types",  # Any, Struct, Duration
        "serde_json",  # resources on the wire are JSON
    },
    "meshcore-proxy": {
        "bytes",
        "h2",
        "http",
        "itoa",
        "parking_lot",  # what the control thread and workers share, off the request line
        "rustls",
        "rustls-pki-types",
        "serde",  # admin pages, and options
        "serde_json",
        "thiserror",
        "tokio",
        "tokio-rustls",
    }
    | TABLES,
    "meshcore-py": {
        "pyo3",
        "arc-swap",  # hooks are swapped like snapshots
        "mimalloc",
        "parking_lot",
        "rustix",  # the process of a plugin sees that its sidecar is gone
        "scoped-tls-hkt",  # lends a request to a hook for the length of a call
        "serde",
        "serde_json",  # resources cross the border as JSON
        "thiserror",
        "tokio",  # hands a queued decision back to the worker that waits
    }
    | TABLES,
}

# What the control thread runs in `meshcore-proxy`, and `timer`, which falls back to them.
USES_TIMERS_OF_RUNTIME = {"control", "dns", "overload", "timer"}

# Tests and benches may use these everywhere.
FOR_TESTS = {
    "criterion", "mimalloc", "proptest", "serde_json", "tempfile", "tokio", "meshcore-testkit",
}  # fmt: skip

# No part of the product: what tests stand on, and what benches do.
FOR_OURSELVES = {"meshcore-testkit", "meshcore-bench", "meshcore-fuzz"}

# The only rooms for something that would spread.
ONLY_IN = {
    "pyo3": {"meshcore-py"},
    "libc": {"meshcore-io"},
    "libmimalloc-sys": {"meshcore-io"},
    "socket2": {"meshcore-io"},
}

# Rooms that do no I/O: without a runtime in reach, they cannot.
WITHOUT_RUNTIME = [
    "meshcore-model", "meshcore-snapshot", "meshcore-policy", "meshcore-balance",
    "meshcore-telemetry",
]  # fmt: skip


@cache
def edges() -> dict[str, dict[str, set[str]]]:
    """Returns what each crate names, by kind of dependency (`normal`, `dev`, `build`)."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found: dict[str, dict[str, set[str]]] = {}
    for package in json.loads(answered.stdout)["packages"]:
        by_kind = found.setdefault(package["name"], defaultdict(set))
        for dependency in package["dependencies"]:
            by_kind[dependency["kind"] or "normal"].add(dependency["name"])
    return found


def rooms() -> list[str]:
    return [name for name in edges() if name not in FOR_OURSELVES]


def test_every_crate_has_a_row():
    assert set(rooms()) <= set(ROOMS)
    assert {"meshcore-model", "meshcore-proxy", "meshcore-py"} <= set(rooms())


@pytest.mark.parametrize("room", ROOMS)
def test_a_crate_imports_only_what_its_row_says(room):
    named = edges()[room]["normal"]
    ours = {name for name in named if name.startswith("meshcore-")}
    assert ours - ROOMS[room] == set(), f"{room} looks up, or at a neighbour"
    assert named - ours - OTHERS[room] == set(), (
        f"{room} has a new dependency: add it with a reason"
    )


@pytest.mark.parametrize("room", ROOMS)
def test_tests_of_a_crate_need_little_more(room):
    ours = set(ROOMS)
    assert edges()[room]["dev"] - FOR_TESTS - ours - OTHERS[room] == set()
    assert edges()[room]["build"] == set()


@pytest.mark.parametrize(("dependency", "allowed"), ONLY_IN.items())
def test_some_dependencies_have_one_room(dependency, allowed):
    users = {room for room in rooms() if dependency in set().union(*edges()[room].values())}
    assert users <= allowed


@pytest.mark.parametrize("room", WITHOUT_RUNTIME)
def test_pure_rooms_have_no_runtime(room):
    assert "tokio" not in edges()[room]["normal"]
    for lower in ROOMS[room]:
        assert "tokio" not in edges()[lower]["normal"]


def test_unsafe_has_one_room():
    without = {
        path.parents[1].name
        for path in ROOT.glob("crates/*/src/lib.rs")
        if not re.search(r"^#!\[forbid\(unsafe_code\)\]$", path.read_text(), re.MULTILINE)
    }
    assert without == {"meshcore-io"}


def test_folders_are_named_as_packages():
    folders = {path.parent.name for path in ROOT.glob("crates/*/Cargo.toml")}
    assert folders == set(edges()) - {"meshcore-fuzz"}


def test_what_is_fuzzed_knows_nothing_of_it():
    for room in rooms():
        assert not {"meshcore-fuzz", "libfuzzer-sys"} & set().union(*edges()[room].values())


def test_workers_have_timers_of_their_own():
    source = ROOT / "crates/meshcore-proxy/src"
    users = {
        path.relative_to(source).parts[0].removesuffix(".rs")
        for path in source.rglob("*.rs")
        if "tokio::time" in path.read_text()
    }
    assert users <= USES_TIMERS_OF_RUNTIME, "the runtime of a worker has none: see timer.rs"
