import json
import os
from functools import partial

import pytest
from tests.unit.control.recording import Recording

from meshcore.config import Source
from meshcore.control import numbering
from meshcore.control.compilation import Compilation
from meshcore.control.distribute import Distribution, confirmed
from meshcore.errors import ConfigError
from meshcore.sources.watch import Change

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: e{0}}}
spec: {{hosts: [host-{0}.com], ports: [{{number: {1}, name: http, protocol: HTTP}}]}}
"""


class Heard:
    def __init__(self):
        self.said = []

    def began(self):
        pass

    def applied(self, in_force, difference, found):
        assert not found
        self.said.append(("applied", in_force.revision, list(difference.words)))

    def same(self):
        self.said.append(("same",))

    def rejected(self, revision, error):
        self.said.append(("rejected", revision, str(error)))


@pytest.fixture
def mesh(tmp_path):
    return Mesh(tmp_path)


class Mesh:
    """A distribution of documents that tests edit."""

    def __init__(self, state):
        self.sources = {f"{n}.yaml": ENTRY.format(n, 80) for n in range(6)}
        self.server = Recording()
        self.heard = Heard()
        self.state = state
        state.joinpath("mesh").mkdir()
        self.begin()

    def begin(self):
        number = partial(numbering.number, self.state / "revision.json")
        self.distribution = Distribution(lambda _: self.server, self.read, number, self.confirm)

    def read(self):
        return [Source(name, text) for name, text in sorted(self.sources.items())]

    def confirm(self, in_force, wanted):
        confirmed(in_force, wanted, self.state / "mesh", self.state)

    def apply(self):
        self.distribution.apply(self.heard)
        return self.heard.said[-1]


def test_the_first_change_is_everything(mesh):
    kind, revision, words = mesh.apply()
    assert (kind, revision, len(words)) == ("applied", 1, 7)
    assert set(mesh.server.resources) == {
        "settings/mesh", *(f"service/default/host-{n}.com/e{n}" for n in range(6))
    }  # fmt: skip


def test_a_change_is_what_changed(mesh):
    mesh.apply()
    mesh.sources["3.yaml"] = ENTRY.format(3, 81)
    mesh.sources["7.yaml"] = ENTRY.format(7, 80)
    del mesh.sources["5.yaml"]
    mesh.apply()
    service = "service/default/host-{0}.com/e{0}".format
    assert mesh.server.updates[-1] == (2, [service(3), service(7)], [service(5)])
    value = json.loads(mesh.server.resources[service(3)])["service"]
    assert value["ports"][0]["number"] == 81


def test_the_same_again_is_no_change(mesh):
    mesh.apply()
    assert mesh.apply() == ("same",)
    mesh.sources["3.yaml"] += "# a remark\n"
    assert mesh.apply() == ("same",)
    assert len(mesh.server.updates) == 1


def test_what_is_refused_changes_nothing_and_counts_when_mended(mesh):
    mesh.apply()
    before = dict(mesh.server.resources)
    mesh.sources["1.yaml"] = ENTRY.format(1, 82)
    mesh.sources["2.yaml"] = ENTRY.format(2, "x")
    kind, revision, why = mesh.apply()
    assert (kind, revision) == ("rejected", 2)
    assert "2.yaml:4:" in why
    assert mesh.server.resources == before
    mesh.sources["2.yaml"] = ENTRY.format(2, 80)
    assert mesh.apply() == ("applied", 3, ["~ service/default/host-1.com/e1"])


def test_what_the_server_refuses_is_tried_again(mesh):
    mesh.apply()
    mesh.server.refuses = "e1"
    mesh.sources["1.yaml"] = ENTRY.format(1, 83)
    assert mesh.apply()[0] == "rejected"
    mesh.server.refuses = None
    mesh.sources["2.yaml"] = ENTRY.format(2, 83)
    _, _, words = mesh.apply()
    assert words == ["~ service/default/host-1.com/e1", "~ service/default/host-2.com/e2"]


def test_large_removals_wait_for_somebody(mesh):
    mesh.apply()
    mesh.sources = dict(list(mesh.sources.items())[:1])
    kind, _, why = mesh.apply()
    assert kind == "rejected"
    assert "removes 5 of 6 services" in why
    (mesh.state / "confirm").touch()
    os.utime(mesh.state / "confirm", (2**32, 2**32))
    assert mesh.apply()[0] == "applied"
    assert len(mesh.server.resources) == 2


def test_what_was_in_force_is_handed_out_again(mesh):
    mesh.apply()
    kept = dict(mesh.distribution.in_force.resources)
    mesh.server = Recording()
    mesh.begin()
    mesh.distribution.resume(1, kept)
    assert mesh.server.updates[0][0] == 1
    assert mesh.apply() == ("same",)
    mesh.sources["1.yaml"] = ENTRY.format(1, 84)
    assert mesh.apply() == ("applied", 2, ["~ service/default/host-1.com/e1"])


def test_what_went_while_nobody_looked_goes(mesh):
    mesh.apply()
    kept = dict(mesh.distribution.in_force.resources)
    mesh.server = Recording()
    del mesh.sources["4.yaml"]
    mesh.begin()
    mesh.distribution.resume(1, kept)
    assert mesh.apply() == ("applied", 2, ["- service/default/host-4.com/e4"])


def test_documents_that_cannot_be_read_are_refused(mesh):
    mesh.apply()

    def fail():
        raise ConfigError([])

    mesh.distribution._read = fail
    assert mesh.apply()[0] == "rejected"


def test_a_fault_of_ours_ends_one_change(mesh, monkeypatch, caplog):
    mesh.apply()
    taken = Compilation.take
    monkeypatch.setattr(Compilation, "take", lambda *_: 1 / 0)
    mesh.sources["1.yaml"] = ENTRY.format(1, 85)
    mesh.distribution.distribute([Change()], mesh.heard)
    assert "a fault of meshcore" in caplog.text
    monkeypatch.setattr(Compilation, "take", taken)
    mesh.distribution.distribute([Change()], mesh.heard)
    assert mesh.heard.said[-1] == ("applied", 2, ["~ service/default/host-1.com/e1"])
