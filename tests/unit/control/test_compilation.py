"""What is compiled change by change is what is compiled at once."""
# ruff: noqa: E501 - a document is a line

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshcore.config import Source, compile_mesh
from meshcore.config.compile import compile_documents
from meshcore.config.compose import Budget
from meshcore.config.parse import parse
from meshcore.config.result import _last_of_each
from meshcore.control import compilation
from meshcore.control.compilation import Compilation
from meshcore.control.resources import named
from meshcore.control.resources import settings as settings_resource


def document(kind, name, spec, namespace="default"):
    group = {
        "Service": "v1",
        "PeerAuthentication": "security.istio.io/v1",
        "AuthorizationPolicy": "security.istio.io/v1",
        "MeshConfig": "meshcore.io/v1",
    }.get(kind, "networking.istio.io/v1")
    return (
        f"apiVersion: {group}\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )


def service_entry(host, name="entry", extra=""):
    ports = "ports: [{number: 80, name: http, protocol: HTTP}]"
    return document(
        "ServiceEntry", name, f"{{hosts: [{host}], resolution: STATIC, {ports}{extra}}}"
    )


def virtual_service(name, host, to, subset=""):
    named_subset = f", subset: {subset}" if subset else ""
    route = f"{{route: [{{destination: {{host: {to}{named_subset}}}}}]}}"
    return document("VirtualService", name, f"{{hosts: [{host}], http: [{route}]}}")


SELECTED = ", location: MESH_INTERNAL, workloadSelector: {labels: {app: a}}"
A = "a.default.svc.cluster.local"
# Texts that ask for one another, replace one another, and refuse.
PIECES = [
    service_entry("a.com"),
    service_entry("a.com", "other", ", subjectAltNames: [x, y]"),
    service_entry("'*.com'", "wild"),
    service_entry(A, "a", SELECTED + ", subjectAltNames: [z]"),
    document("Service", "a", "{selector: {app: a}, ports: [{port: 80}, {port: 81}]}"),
    document("Service", "b", "{selector: {app: b}, ports: [{port: 80, name: http}]}"),
    document("Service", "b", "{selector: {app: b}, ports: [{port: 90, name: http}]}"),
    document("WorkloadEntry", "w1", "{address: 10.0.0.1, labels: {app: a, version: v1}}"),
    document("WorkloadEntry", "w2", "{address: 10.0.0.2, labels: {app: b, version: v1}}"),
    document("WorkloadEntry", "w2", "{address: 10.0.0.3, labels: {app: a}}", "istio-system"),
    document("DestinationRule", "a", "{host: a, subsets: [{name: v1, labels: {version: v1}}]}"),
    document("DestinationRule", "w", "{host: '*.com', subsets: [{name: v2, labels: {version: v2}}]}"),
    virtual_service("a", "a", "a", "v1"),
    virtual_service("a-too", "a", "b"),
    virtual_service("com", "a.com", "b.com", "v2"),
    document("PeerAuthentication", "one", "{mtls: {mode: STRICT}, selector: {matchLabels: {app: a}}}"),
    document("PeerAuthentication", "two", "{mtls: {mode: DISABLE}, selector: {matchLabels: {app: a}}}"),
    document("PeerAuthentication", "all", "{mtls: {mode: STRICT}}", "istio-system"),
    document("AuthorizationPolicy", "x", "{selector: {matchLabels: {app: a, version: v1}}, rules: [{}]}"),
    document("AuthorizationPolicy", "custom", "{action: CUSTOM, rules: [{}]}"),
    document("AuthorizationPolicy", "null", "{selector: {matchLabels: {app: ~}}}"),
    document("MeshConfig", "mesh", "{trustDomain: td, rootNamespace: root}"),
    document("MeshConfig", "more", "{domain: mesh.local}"),
    "mesh: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n",
    "services: {short: {port: 80, versions: {v1: ['10.1.0.1:80'], v2: ['10.1.0.2:80']}, split: {v1: 90, v2: 10}}}\n",
    "services: {short: {port: 81, endpoints: ['10.1.0.3:80']}}\n",
    "services: {shorter: {port: 80, endpoints: ['10.1.0.4:80', '10.1.0.5'], allow: [shor, a/b]}}\n",
    "services: {short-v1: {port: 80, endpoints: ['10.1.0.6'], allow: []}}\n",
    "services: {short: {prot: 1}}\n",
    document("Gateway", "gw", "{selector: {app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]}"),
    document("Gateway", "gw2", "{selector: {app: gw}, servers: [{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}]}"),
    document("Gateway", "tls", "{selector: {app: gw}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: cert}}]}"),
    document("VirtualService", "bound", "{hosts: [a.com, b.com], gateways: [gw, tls], http: [{route: [{destination: {host: a.com}}]}]}"),
    "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\ntype: kubernetes.io/tls\nstringData: {tls.crt: a, tls.key: b}\n",
    document("WorkloadGroup", "g", "{template: {labels: {app: a}}}"),
    "kind: VirtualService\n",
    "x: [",
    "",
]  # fmt: skip

# What a file says: some of the pieces.
FILES = st.lists(st.sampled_from(PIECES), max_size=4).map("---\n".join)
# Meshes of up to five files, one after the other, whose names sort before or after one another.
CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abcde"), FILES, max_size=5), min_size=1, max_size=5
)


def at_once(sources):
    """Returns what the whole way makes of `sources`, also of some that are refused."""
    documents = _last_of_each(parse(sources).documents)
    mesh = compile_documents(documents, 1)
    return dict([*named(mesh), settings_resource(mesh["settings"])])


def whole(files):
    return [Source(name, text) for name, text in sorted(files.items())]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES)
def test_any_changes_lead_to_what_is_compiled_at_once(changes):
    kept = Compilation()
    before = {}
    for files in changes:
        sources = whole(files)
        outcome = kept.take(sources)
        result = compile_mesh(sources, 1)
        assert outcome.diagnostics == result.diagnostics
        assert outcome.is_refused == (result.mesh is None)
        assert kept.resources == at_once(sources)
        differs = {
            name
            for name in before.keys() | kept.resources.keys()
            if before.get(name) != kept.resources.get(name)
        }
        assert differs <= kept.take_touched()
        before = dict(kept.resources)


@settings(max_examples=30, deadline=None)
@given(st.permutations(PIECES), st.permutations(range(6)))
def test_the_order_of_sources_may_change(pieces, order):
    sources = [Source(str(i), "---\n".join(pieces[i * 5 : i * 5 + 5])) for i in range(6)]
    kept = Compilation()
    kept.take(sources)
    again = [sources[index] for index in order]
    outcome = kept.take(again)
    assert outcome.diagnostics == compile_mesh(again, 1).diagnostics
    assert kept.resources == at_once(again)


def test_a_change_touches_only_what_it_concerns():
    sources = [Source(f"{n}.yaml", service_entry(f"host-{n}.com", f"e{n}")) for n in range(50)]
    kept = Compilation()
    kept.take(sources)
    kept.take_touched()
    sources[7] = Source("7.yaml", service_entry("host-7.com", "e7", ", addresses: [10.0.0.7]"))
    assert not kept.take(sources).is_refused
    assert kept.take_touched() == {"service/default/host-7.com/e7"}


def test_too_many_values_are_said_the_long_way(monkeypatch):
    monkeypatch.setattr(compilation, "MAX_NODES", 40)
    monkeypatch.setattr(Budget, "__init__", lambda self: setattr(self, "nodes", 40))
    kept = Compilation()
    small = [Source("a", PIECES[7])]
    assert not kept.take(small).is_refused
    many = [Source(str(n), PIECES[0]) for n in range(3)]
    outcome = kept.take(many)
    assert outcome.is_refused
    assert outcome.diagnostics == compile_mesh(many, 1).diagnostics
    assert set(kept.resources) == {"settings/mesh"}
    assert not kept.take(small).is_refused
    assert "workload/default/w1" in kept.resources
