"""`meshcore token` and `meshcore cert rotate-root`: offline, with the state of a control plane."""

import json
import stat

import pytest
from tests.unit.cli.harness import meshcore

pytest.importorskip("meshcore.native")

from meshcore.native_identity import ControlState

pytestmark = pytest.mark.native
CONTROL = "spiffe://cluster.local/ns/istio-system/sa/meshcore-control"


@pytest.fixture
def state(tmp_path):
    place = tmp_path / "control"
    ControlState(str(place), control=CONTROL)
    return place


def test_a_token_goes_to_standard_output_alone(state):
    done = meshcore("token", "create", "--service", "web", "--namespace", "shop", "--state", state)
    assert done.returncode == 0
    assert done.stdout.count(".") == 2
    assert done.stdout.strip() not in done.stderr
    listed = json.loads(meshcore("token", "list", "--state", state, "-o", "json").stdout)
    assert [one["identity"] for one in listed] == ["spiffe://cluster.local/ns/shop/sa/web"]
    assert listed[0]["expires_at"] - listed[0]["issued_at"] == 3600


def test_a_token_in_a_file_is_for_its_owner(state, tmp_path):
    out = tmp_path / "token"
    done = meshcore("token", "create", "--service", "web", "--state", state, "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_token_is_revoked_by_its_id(state):
    _, made = ControlState(str(state)).create_token("shop", "web", 60)
    assert meshcore("token", "revoke", made["id"], "--state", state).returncode == 0
    assert ControlState(str(state)).tokens()[0]["is_revoked"]
    unknown = meshcore("token", "revoke", "none", "--state", state)
    assert unknown.returncode == 1
    assert "meshcore token list" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--service", "we/b"], "spiffe://"),
        (["--service", "web", "--ttl", "0s"], "life of the token"),
        (["--service", "web", "--ttl", "8784h"], "life of the token"),
        (["--service", "web", "--ttl", "-1h"], "negative"),
        (["--service", "web", "--ttl", "soon"], "--ttl"),
        (["--service", "meshcore-control", "--namespace", "istio-system"], "control plane itself"),
        (["--service", "web", "--out", "/nonexistent/token"], "--out"),
    ],
)
def test_what_cannot_be_a_token_is_refused(state, arguments, says):
    done = meshcore("token", "create", "--state", state, *arguments)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert says in done.stderr


def test_without_a_control_plane_there_is_no_token(tmp_path):
    done = meshcore("token", "create", "--service", "web", "--state", tmp_path / "none")
    assert done.returncode == 1
    assert "--state" in done.stderr


def test_a_root_rotates_in_its_order(state):
    def rotate(*arguments):
        return meshcore("cert", "rotate-root", *arguments, "--state", state)

    assert rotate("finish").returncode == 1
    assert "both roots are trusted" in rotate("begin", "--overlap", "1h").stdout
    found = json.loads(rotate("status", "-o", "json").stdout)
    assert [one["part"] for one in found["authorities"]] == ["signing", "next"]
    again = rotate("begin")
    assert again.returncode == 1
    assert "finish it" in again.stderr
    early = rotate("finish", "--now")
    assert early.returncode == 1
    assert "signs from" in early.stderr
    assert "both roots are trusted" in rotate("status").stdout
