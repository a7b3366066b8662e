import os
import time

import pytest

from meshcore.config import Source, compile_mesh
from meshcore.control.settings import Wanted
from meshcore.control.shrink import check
from meshcore.errors import ConfigError

WEB = Wanted("web", "default")


def mesh(count, prefix="s"):
    services = [
        {"host": f"{prefix}{i}", "name": f"{prefix}{i}", "namespace": "default"}
        for i in range(count)
    ]
    return {"services": services, "authorizations": [], "peer_auths": []}


def compiled(text):
    return compile_mesh([Source("mesh.yaml", text)], 1).required()


@pytest.fixture
def places(tmp_path):
    documents, state = tmp_path / "mesh", tmp_path / "state"
    documents.mkdir()
    state.mkdir()
    (documents / "a.yaml").write_text("a")
    return documents, state


@pytest.mark.parametrize(
    ("before", "after"),
    [(0, 0), (4, 1), (10, 5), (8, 4), (4, 10)],
)
def test_what_keeps_half_or_loses_few_passes(places, before, after):
    check(mesh(before), mesh(after), WEB, *places)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (2, 0), (4, 0), (10, 4), (7, 3)])
def test_what_removes_most_is_refused(places, before, after):
    with pytest.raises(ConfigError, match=rf"removes {before - after} of {before} services"):
        check(mesh(before), mesh(after), WEB, *places)


def test_others_in_their_place_do_not_count(places):
    with pytest.raises(ConfigError, match="removes 4 of 4"):
        check(mesh(4), mesh(9, "t"), WEB, *places)


def test_a_confirmation_holds_for_what_was_before_it(places):
    _, state = places
    (state / "confirm").touch()
    future = time.time_ns() + 10**9
    os.utime(state / "confirm", ns=(future, future))
    check(mesh(4), mesh(0), WEB, *places)
    os.utime(state / "confirm", ns=(1, 1))
    with pytest.raises(ConfigError, match=r"removes 4 of 4"):
        check(mesh(4), mesh(0), WEB, *places)


def test_a_file_with_an_old_time_is_not_confirmed_by_it(places):
    documents, state = places
    (state / "confirm").touch()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        (documents / "a.yaml").write_text("b")
        os.utime(documents / "a.yaml", ns=(1, 1))
        if (documents / "a.yaml").stat().st_ctime_ns > (state / "confirm").stat().st_mtime_ns:
            break
    with pytest.raises(ConfigError):
        check(mesh(4), mesh(0), WEB, *places)


def confirm(state):
    future = time.time_ns() + 10**9
    (state / "confirm").touch()
    os.utime(state / "confirm", ns=(future, future))


def test_hidden_files_do_not_stand_in_the_way_of_a_confirmation(places):
    documents, state = places
    (documents / ".#mesh.yaml").symlink_to("somebody@host.1234")
    confirm(state)
    check(mesh(4), mesh(0), WEB, *places)


def test_a_mesh_in_one_file_is_confirmed(places):
    documents, state = places
    confirm(state)
    check(mesh(4), mesh(0), WEB, documents / "a.yaml", state)


def test_what_cannot_be_looked_at_is_not_confirmed(places):
    documents, state = places
    (documents / "gone.yaml").symlink_to("nowhere")
    confirm(state)
    with pytest.raises(ConfigError, match="removes 4 of 4"):
        check(mesh(4), mesh(0), WEB, *places)


SHORT = """
services:
  reviews: {port: 9080, endpoints: ["127.0.0.1:9080"], allow: [web]}
  ratings: {port: 9080, endpoints: ["127.0.0.2:9080"], allow: [reviews]}
  web: {port: 80, endpoints: ["127.0.0.3:80"]}
"""
BARE = SHORT.replace(", allow: [web]", "").replace(", allow: [reviews]", "")


def policy(name, action="ALLOW", app="reviews", more=""):
    return f"""
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: default{more}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  action: {action}
  rules: [{{from: [{{source: {{namespaces: [default]}}}}]}}]
"""


def peers(name, mode, namespace="istio-system"):
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{mtls: {{mode: {mode}}}}}
"""


DRY = ", annotations: {istio.io/dry-run: 'true'}"
MANY = "".join(policy(f"p{i}") for i in range(8))
HOST = "{}.default.svc.cluster.local"
BOTH = f"{HOST.format('ratings')}, {HOST.format('reviews')}"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (SHORT, BARE, ("removes 2 of 2 AuthorizationPolicies (default/ratings-callers,"
         f" default/reviews-callers), which opens {BOTH} to callers that they refuse")),
        (BARE + policy("only"), BARE, ("removes 1 of 1 AuthorizationPolicies (default/only),"
         f" which opens {HOST.format('reviews')} to callers that they refuse")),
        (SHORT + policy("deny", "DENY"), BARE + policy("deny", "DENY"),
         ("removes 2 of 2 ALLOW policies (default/ratings-callers, default/reviews-callers),"
         f" which opens {BOTH} to callers that they refuse")),
        (BARE + MANY, BARE + policy("p0") + policy("p1") + policy("p2"),
         ("removes 5 of 8 AuthorizationPolicies (default/p3, default/p4, default/p5, default/p6,"
         " default/p7)")),
        (BARE + policy("one") + policy("dry", more=DRY), BARE + policy("dry", more=DRY),
         "removes 1 of 1 AuthorizationPolicies (default/one), which opens"),
        (BARE + peers("all", "STRICT"), BARE, ("removes 1 of 1 PeerAuthentications that are STRICT"
         f" (istio-system/all), which opens {BOTH}, {HOST.format('web')} to plain text")),
        (BARE + peers("a", "STRICT") + peers("b", "PERMISSIVE", "default"),
         BARE + peers("b", "PERMISSIVE", "default"), "removes 1 of 1 PeerAuthentications"),
    ],
)  # fmt: skip
def test_what_opens_ports_is_refused_and_can_be_confirmed(places, before, after, said):
    documents, state = places
    with pytest.raises(ConfigError) as refused:
        check(compiled(before), compiled(after), WEB, *places)
    (found,) = refused.value.diagnostics
    assert found.message.startswith(said)
    assert (found.file, found.hint) == (str(documents), f"to confirm: touch {state / 'confirm'}")
    future = time.time_ns() + 10**9
    (state / "confirm").touch()
    os.utime(state / "confirm", ns=(future, future))
    check(compiled(before), compiled(after), WEB, *places)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SHORT, SHORT.replace(", allow: [web]", "")),
        (BARE, SHORT),
        (SHORT, SHORT.replace("[web]", "['*']")),
        (BARE + MANY, BARE + "".join(policy(f"p{i}") for i in range(4))),
        (BARE + policy("dry", more=DRY), BARE),
        (BARE + policy("one"), BARE + policy("one", more=DRY)),
        (SHORT + policy("deny", "DENY"), SHORT),
        (BARE + peers("all", "STRICT"), BARE + peers("all", "PERMISSIVE")),
        (BARE + peers("all", "PERMISSIVE"), BARE),
        (BARE + peers("a", "STRICT") + peers("b", "STRICT", "default"),
         BARE + peers("b", "STRICT", "default")),
    ],
)  # fmt: skip
def test_what_keeps_policies_or_says_otherwise_on_purpose_passes(places, before, after):
    check(compiled(before), compiled(after), WEB, *places)


def test_the_own_service_must_not_vanish_from_under_its_sidecar(places):
    before, after = compiled(SHORT), compiled(SHORT.replace("  reviews:", "  revuews:"))
    with pytest.raises(ConfigError) as refused:
        check(before, after, Wanted("reviews", "default"), *places)
    (found,) = refused.value.diagnostics
    assert found.message == (
        "removes reviews.default, the service of this sidecar, whose ports would stay open"
        " without its protocols and policies: end the sidecar instead"
    )
    check(before, after, WEB, *places)
    check(before, after, Wanted("reviews", "other"), *places)
    check(before, after, Wanted("reviews", "default", has_inbound=False), *places)
    check(before, after, Wanted("unknown", "default"), *places)
