"""A control plane gives certificates for tokens, and its state is changed beside it."""

import json

import pytest

from meshcore.errors import CertificateError, StartFailed, Unreachable
from meshcore.native import ControlOptions, ControlPlane
from meshcore.native_identity import ControlState, Enrolment, EnrolmentOptions

pytestmark = pytest.mark.native


@pytest.fixture
def state(tmp_path):
    place = tmp_path / "control"
    place.mkdir(mode=0o700)
    return str(place)


@pytest.fixture
def control(state):
    plane = ControlPlane(ControlOptions(state=state, plain="127.0.0.1:0", secure="127.0.0.1:0"))
    yield plane
    plane.stop()


def enrolment(control, token, **options):
    return Enrolment(EnrolmentOptions(control.addresses()["secure"], token, **options))


def test_a_token_becomes_a_certificate_and_that_the_next(control, state):
    token, made = ControlState(state).create_token("shop", "web", 3600)
    joining = enrolment(control, token)
    first = joining.issue()
    assert first.identity == made["identity"] == "spiffe://cluster.local/ns/shop/sa/web"
    assert first.materials().identity == first.identity
    assert joining.issue().serial != first.serial, "by the certificate"
    ControlState(state).revoke_token(made["id"])
    for one in (joining, enrolment(control, token)):
        with pytest.raises(CertificateError, match="revoked"):
            one.issue()
    metrics = control.metrics().decode()
    assert "citadel_server_success_cert_issuance_count 2" in metrics
    assert 'meshcore_control_certificate_refusals_total{reason="token"} 3' in metrics


def test_nobody_answers(state):
    ControlState(state, control="spiffe://cluster.local/ns/istio-system/sa/meshcore-control")
    token, _ = ControlState(state).create_token("shop", "web", 60)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        Enrolment(EnrolmentOptions("127.0.0.1:1", token, deadline_ms=2000)).issue()


@pytest.mark.parametrize("token", ["", "junk", "a.b.c", None])
def test_what_is_no_token_is_refused_at_once(control, token):
    with pytest.raises(CertificateError, match="token"):
        enrolment(control, token)


def test_a_rotation_goes_step_by_step(control, state):
    opened = ControlState(state)
    token, _ = opened.create_token("shop", "web", 3600)
    before = enrolment(control, token).issue()
    opened.begin_rotation(3600)
    assert opened.rotation()["phase"] == "adding"
    with pytest.raises(CertificateError, match="signs from"):
        opened.finish_rotation(now=True)
    after = enrolment(control, token).issue()
    assert before.roots[0][1] in after.roots[0][1]
    assert after.roots[0][1].count("BEGIN CERTIFICATE") == 2, "both are trusted"


def test_another_trust_domain_does_not_take_over_a_state(control, state):
    control.stop()
    with pytest.raises(StartFailed, match=r"cluster\.local"):
        ControlPlane(ControlOptions(state=state, trust_domain="other"))


def test_a_state_that_is_open_to_others_is_not_used(state, tmp_path):
    (tmp_path / "control").chmod(0o755)
    with pytest.raises(StartFailed, match="open to other users"):
        ControlPlane(ControlOptions(state=state))


def test_trust_says_which_root_signs(control, state):
    trust = control.trust()
    assert trust["signer"] == ControlState(state).rotation()["authorities"][0]["root"]
    assert control.trouble() is None
    assert "cluster.local" in json.dumps(trust)
