import json

import pytest
from tests.unit.cli.harness import meshcore

from meshcore.control.pages import Pages, json_page

OWN = {"version": "1", "mesh": "/mesh", "revision": 7, "refused": None}


def client(workload, **other):
    return {
        "id": f"sidecar~127.0.0.2~{workload}.default~default",
        "namespace": "default",
        "workload": workload,
        "addresses": ["127.0.0.2", "127.0.0.9"],
        "connected_ms": 61_000,
        "acknowledged_revision": 7,
        "is_current": True,
        "refused": [],
        **other,
    }


def registered(workload, **other):
    return {
        "workload": workload,
        "namespace": "default",
        "address": "127.0.0.9",
        "is_healthy": True,
        "gone_ms": None,
        **other,
    }


@pytest.fixture
def status():
    """Asks a control plane that says something."""
    shown = []

    def _status(*options, clients=(), workloads=(), own=OWN, is_debug=True):
        said = {"control_plane": own, "revision": 7, "clients": clients, "workloads": workloads}
        page = json_page(lambda: said, is_debug=is_debug)
        pages = Pages("127.0.0.1", 0, {"/debug/syncz": page}, exposes_debug=False)
        shown.append(pages)
        return meshcore("status", "--control", pages.address, *options)

    yield _status
    for pages in shown:
        pages.close()


def test_each_sidecar_is_a_row(status):
    done = status(
        clients=[client("web"), client("api", is_current=False, acknowledged_revision=5)],
        workloads=[registered("web"), registered("old", gone_ms=12_000)],
    )
    assert done.returncode == 3
    head, columns, *rows = done.stdout.splitlines()
    assert head == "control plane 1: /mesh, revision 7"
    assert columns.split() == [
        "SIDECAR", "NAMESPACE", "ADDRESS", "REVISION", "HEALTH", "CONTACT", "REFUSED",
    ]  # fmt: skip
    assert [" ".join(row.split()) for row in rows] == [
        "api default 127.0.0.2, 127.0.0.9 5 (2 behind) - connected 1m1s 0",
        "old default 127.0.0.9 ? gone gone 12s 0",
        "web default 127.0.0.9 7 healthy connected 1m1s 0",
    ]


def test_of_several_replicas_none_is_lost(status):
    done = status(
        clients=[client("web", addresses=["127.0.0.3"]), client("web", addresses=["127.0.0.4"])],
        workloads=[
            registered("web", address="127.0.0.3", is_healthy=False),
            registered("web", address="127.0.0.4"),
            registered("web", address="127.0.0.5", gone_ms=1_000),
        ],
    )
    assert done.returncode == 3
    rows = [row.split() for row in done.stdout.splitlines()[2:]]
    found = {(row[2], row[4]) for row in rows}
    wanted = {("127.0.0.3", "unhealthy"), ("127.0.0.4", "healthy"), ("127.0.0.5", "gone")}
    assert found == wanted


def test_all_well_is_0_and_none_is_4(status):
    assert status(clients=[client("web")], workloads=[registered("web")]).returncode == 0
    assert status().returncode == 4


@pytest.mark.parametrize(
    ("changed", "workload"),
    [
        ({"is_current": False, "acknowledged_revision": 6}, {}),
        ({"refused": [{"name": "route/default/x", "reason": "no such header"}]}, {}),
        ({}, {"is_healthy": False}),
    ],
)
def test_one_that_is_not_well_is_3(status, changed, workload):
    done = status(clients=[client("web", **changed)], workloads=[registered("web", **workload)])
    assert done.returncode == 3
    assert ("web in default refused route/default/x:\nno such header" in done.stdout) == (
        "refused" in changed
    )


def test_refused_documents_are_told(status):
    own = OWN | {"refused": {"revision": 8, "at": 1_700_000_000.0, "why": "mesh.yaml:1:1: bad"}}
    done = status(clients=[client("web")], own=own)
    assert done.returncode == 3
    assert "revision 8 of the documents was refused at 2023-11-14T22:13:20+00:00:" in done.stdout
    assert "mesh.yaml:1:1: bad" in done.stdout


def test_json_has_the_same(status):
    done = status("-o", "json", clients=[client("web")], workloads=[registered("web")])
    assert json.loads(done.stdout) == {
        "control_plane": OWN,
        "sidecars": [
            {
                "name": "web",
                "namespace": "default",
                "address": "127.0.0.9",
                "revision": 7,
                "behind": 0,
                "health": "healthy",
                "connected_ms": 61_000,
                "gone_ms": None,
                "refused": [],
            }
        ],
    }


def test_what_does_not_answer_is_named():
    done = meshcore("status", "--control", "127.0.0.1:1")
    assert done.returncode == 3
    assert "error: 127.0.0.1:1 does not answer: connection refused" in done.stderr


@pytest.mark.parametrize("own", [None, 1, []])
def test_what_is_no_control_plane_is_told(status, own):
    done = status(own=own)
    assert done.returncode == 3
    assert "is no control plane" in done.stderr


@pytest.mark.parametrize(
    "one", [{}, {"acknowledged_revision": "x"}, {"refused": 1}, {"connected_ms": None}]
)
def test_a_strange_answer_is_told(status, one):
    done = status(clients=[{**client("web"), **one} if one else {}])
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "another version" in done.stderr
