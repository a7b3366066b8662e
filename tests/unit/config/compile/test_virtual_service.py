import pytest

DEFAULT_RETRIES = {
    "attempts": 2,
    "per_try_timeout_ms": None,
    "on": ["connect-failure", "refused-stream", "unavailable", "cancelled"],
    "statuses": [],
    "backoff_ms": 25,
    "avoid_previous_hosts": True,
}


@pytest.fixture
def route(read, document):
    def _route(spec, **named):
        return read(document("VirtualService", spec, **named)).required()["routes"][0]

    return _route


@pytest.fixture
def rule(route):
    """The first rule of a VirtualService with these fields beside a route."""

    def _rule(fields="", destination="{host: reviews}"):
        sep = ", " if fields else ""
        text = f"{{hosts: [a], http: [{{route: [{{destination: {destination}}}]{sep}{fields}}}]}}"
        return route(text)["http"][0]

    return _rule


def test_names_resolve_in_the_namespace_of_the_document(route):
    spec = (
        "{hosts: [reviews, API.example.com, '*.x.y'], http: [{route: [{destination: {host: b}}]}]}"
    )
    made = route(spec, namespace="ns")
    assert made["hosts"] == ["reviews.ns.svc.cluster.local", "api.example.com", "*.x.y"]
    assert made["http"][0]["action"]["forward"][0]["host"] == "b.ns.svc.cluster.local"


@pytest.mark.parametrize(
    ("gateways", "bound"),
    [
        ("", ["mesh"]),
        ("gateways: [mesh], ", ["mesh"]),
        ("gateways: [edge, other/edge, mesh], ", ["default/edge", "other/edge", "mesh"]),
        ("gateways: [edge], ", ["default/edge"]),
    ],
)
def test_without_gateways_it_is_for_sidecars(route, gateways, bound):
    spec = f"{{{gateways}hosts: [a], http: [{{route: [{{destination: {{host: a}}}}]}}]}}"
    assert route(spec)["gateways"] == bound


def test_a_rule_that_says_nothing_has_istios_defaults(rule):
    made = rule()
    assert made["name"] == "default"
    assert made["timeout_ms"] is None
    assert made["retries"] == DEFAULT_RETRIES
    assert (made["rewrite"], made["fault"], made["mirrors"], made["matches"]) == (
        None,
        None,
        [],
        [],
    )
    [destination] = made["action"]["forward"]
    assert (destination["weight"], destination["port"], destination["subset"]) == (100, None, None)


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("10s", 10_000), ("0s", None), ("1h2m3.5s", 3_723_500), ("250ms", 250)],
)
def test_timeouts(rule, written, milliseconds):
    assert rule(f"timeout: {written}")["timeout_ms"] == milliseconds


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("{attempts: 3}", {"attempts": 3}),
        ("{attempts: 0}", {"attempts": 0}),
        ("{}", {"attempts": 0}),
        ("{attempts: 1, retryOn: ''}", {"attempts": 1}),
        (
            "{attempts: 1, retryOn: '5xx,503, 429,retriable-status-codes'}",
            {"attempts": 1, "on": ["5xx"], "statuses": [503, 429]},
        ),
        ("{attempts: 1, retryOn: '503'}", {"attempts": 1, "on": [], "statuses": [503]}),
        (
            "{attempts: 1, perTryTimeout: 2s, backoff: 50ms, retryIgnorePreviousHosts: false}",
            {
                "attempts": 1,
                "per_try_timeout_ms": 2000,
                "backoff_ms": 50,
                "avoid_previous_hosts": False,
            },
        ),
        ("{attempts: 1, perTryTimeout: 0s}", {"attempts": 1}),
    ],
)
def test_retries(rule, written, changed):
    assert rule(f"retries: {written}")["retries"] == {**DEFAULT_RETRIES, **changed}


def test_the_meshs_retries_hold_where_a_rule_says_nothing(read, document):
    text = document("MeshConfig", "{defaultHttpRetryPolicy: {attempts: 5, retryOn: reset}}")
    text += "---\n" + document(
        "VirtualService", "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"
    )
    mesh = read(text).required()
    assert mesh["settings"]["default_retries"]["attempts"] == 5
    assert mesh["routes"][0]["http"][0]["retries"] == {
        **DEFAULT_RETRIES,
        "attempts": 5,
        "on": ["reset"],
    }


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("{delay: {fixedDelay: 5s}}", {"delay": (5000, 0)}),
        ("{delay: {fixedDelay: 5s, percentage: {value: 0.1}}}", {"delay": (5000, 1000)}),
        ("{delay: {fixedDelay: 5s, percent: 7}}", {"delay": (5000, 70_000)}),
        ("{abort: {httpStatus: 500}}", {"abort": (500, 0)}),
        ("{abort: {httpStatus: 500, percentage: {value: 100}}}", {"abort": (500, 1_000_000)}),
        (
            "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}",
            {"abort_grpc": (14, 500_000)},
        ),
    ],
)
def test_faults_without_a_percentage_hit_nobody(rule, written, fault):
    none = {"delay": None, "abort": None, "abort_grpc": None}
    assert rule(f"fault: {written}")["fault"] == {**none, **fault}


@pytest.mark.parametrize(
    ("written", "shares"),
    [
        ("mirror: {host: b}", [1_000_000]),
        ("mirror: {host: b}, mirrorPercentage: {value: 2.5}", [25_000]),
        ("mirror: {host: b}, mirrorPercent: 30", [300_000]),
        ("mirror: {host: b}, mirrorPercentage: {value: 0}", []),
        ("mirror: {host: b}, mirrorPercentage: {}", []),
        (
            "mirrors: [{destination: {host: b}}, {destination: {host: c}, percentage: {value: 1}}]",
            [1_000_000, 10_000],
        ),
    ],
)
def test_mirrors_without_a_percentage_get_everything(rule, written, shares):
    assert [m["share_ppm"] for m in rule(written)["mirrors"]] == shares


def test_weights_of_several_destinations_are_kept_and_default_to_none(read, document):
    spec = """
hosts: [a]
http:
- route:
  - {destination: {host: a, subset: v1, port: {number: 80}}, weight: 3}
  - {destination: {host: b}}
"""
    subsets = "{host: a, subsets: [{name: v1, labels: {}}]}"
    text = document("VirtualService", spec) + "---\n" + document("DestinationRule", subsets)
    forward = read(text).required()["routes"][0]["http"][0]["action"]["forward"]
    assert [(d["weight"], d["subset"], d["port"]) for d in forward] == [
        (3, "v1", 80),
        (0, None, None),
    ]


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("{}", {}),
        ("{uri: /x, redirectCode: 308}", {"path": "/x", "status": 308}),
        ("{authority: b.c, scheme: https}", {"authority": "b.c", "scheme": "https"}),
        ("{port: 8443}", {"port": 8443}),
        ("{derivePort: FROM_PROTOCOL_DEFAULT}", {"default_port": True}),
        ("{derivePort: FROM_REQUEST_PORT}", {}),
    ],
)
def test_redirects_are_301_unless_said(route, written, changed):
    [made] = route(f"{{hosts: [a], http: [{{redirect: {written}}}]}}")["http"]
    assert made["action"]["redirect"] == {
        "status": 301,
        "path": None,
        "prefix": None,
        "authority": None,
        "port": None,
        "default_port": False,
        "scheme": None,
        **changed,
    }


def test_a_prefix_is_redirected_to_another(route):
    spec = "{hosts: [a], http: [{match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}}]}"
    assert route(spec)["http"][0]["action"]["redirect"]["prefix"] == "/b"


@pytest.mark.parametrize(
    ("body", "text"),
    [("", ""), (", body: {string: hi}", "hi"), (", body: {bytes: aGk=}", "hi"), (", body: {}", "")],
)
def test_direct_responses(route, body, text):
    [made] = route(f"{{hosts: [a], http: [{{directResponse: {{status: 503{body}}}}}]}}")["http"]
    assert made["action"] == {"respond": {"status": 503, "body": text}}


@pytest.mark.parametrize(
    ("fields", "rewrite"),
    [
        ("rewrite: {uri: /x}", ("/x", None, None)),
        ("rewrite: {authority: b.c}", (None, "b.c", None)),
        (
            "rewrite: {uriRegexRewrite: {match: '^/a/(.*)', rewrite: '/\\1'}}",
            (None, None, ("^/a/(.*)", "/\\1")),
        ),
        ("headers: {request: {set: {Host: h.example}}}", (None, "h.example", None)),
        ("headers: {request: {set: {':authority': h.example}}}", (None, "h.example", None)),
        ("headers: {request: {add: {Host: x}, set: {host: y}}}", (None, "y", None)),
        (
            "rewrite: {authority: b.c}, headers: {request: {set: {Host: h}}}",
            (None, "b.c", None),
        ),
    ],
)
def test_the_authority_is_rewritten_by_the_rewrite_or_a_header(rule, fields, rewrite):
    made = rule(fields)
    assert made["rewrite"] == dict(zip(("path", "authority", "regex"), rewrite, strict=True))
    assert made["request_headers"] == {"set": [], "add": [], "remove": []}


def test_header_edits_are_in_lower_case_and_leave_pseudo_headers_alone(rule):
    made = rule(
        "headers: {request: {set: {X-A: '1', ':path': /}, add: {X-B: '2'}, remove: [X-C, Host]},"
        " response: {remove: [Server]}}"
    )
    assert made["request_headers"] == {
        "set": [("x-a", "1")],
        "add": [("x-b", "2")],
        "remove": ["x-c"],
    }
    assert made["response_headers"]["remove"] == ["server"]


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("{uri: {exact: /a}}", {"path": {"exact": "/a"}}),
        (
            "{uri: {prefix: /a}, ignoreUriCase: true}",
            {"path": {"prefix": "/a"}, "ignore_path_case": True},
        ),
        ("{uri: {regex: '/a.*'}}", {"path": {"regex": "/a.*"}}),
        ("{uri: {}}", {}),
        ("{method: {exact: GET}}", {"method": {"exact": "GET"}}),
        ("{scheme: {exact: http}}", {"scheme": {"exact": "http"}}),
        ("{authority: {prefix: a}}", {"authority": {"prefix": "a"}}),
        (
            "{headers: {X-A: {exact: b}, x-c: {}, X-D: {regex: '*'}}}",
            {
                "headers": [
                    {"name": "x-a", "value": {"exact": "b"}},
                    {"name": "x-c", "value": "present"},
                    {"name": "x-d", "value": "present"},
                ]
            },
        ),
        (
            "{headers: {uri: {exact: b}, Method: {exact: c}, x: {exact: y}}}",
            {"headers": [{"name": "x", "value": {"exact": "y"}}]},
        ),
        ("{withoutHeaders: {X: {}}}", {"without_headers": [{"name": "x", "value": "present"}]}),
        ("{queryParams: {Q: {exact: v}}}", {"query": [{"name": "Q", "value": {"exact": "v"}}]}),
        ("{port: 80}", {"port": 80}),
        ("{sourceLabels: {app: x}}", {"source_labels": {"app": "x"}}),
        ("{sourceNamespace: n}", {"source_namespace": "n"}),
        ("{gateways: [g, mesh]}", {"gateways": ["default/g", "mesh"]}),
        ("{name: n}", {"name": "n"}),
    ],
)
def test_matches(rule, written, changed):
    nothing = {
        "name": "", "path": None, "ignore_path_case": False, "scheme": None, "method": None,
        "authority": None, "headers": [], "without_headers": [], "query": [], "port": None,
        "source_labels": {}, "source_namespace": None, "gateways": [],
    }  # fmt: skip
    assert rule(f"match: [{written}]")["matches"] == [{**nothing, **changed}]


def test_a_rule_that_only_matches_claims_vanishes_and_never_takes_everything(route):
    spec = """
hosts: [a]
http:
- match: [{headers: {"@request.auth.claims[group]": {exact: admin}}}]
  route: [{destination: {host: admin}}]
- match: [{headers: {"@request.auth.claims.group": {exact: x}}}, {uri: {exact: /y}}]
  route: [{destination: {host: y}}]
"""
    rules = route(spec)["http"]
    assert [r["action"]["forward"][0]["host"].split(".")[0] for r in rules] == ["y"]
    assert [m["path"] for m in rules[0]["matches"]] == [{"exact": "/y"}]


def test_rules_know_their_line(route):
    spec = """
hosts: [a]
http:
- route: [{destination: {host: a}}]
- route: [{destination: {host: b}}]
tcp:
- match: [{port: 1, destinationSubnets: [10.0.0.0/8], sourceNamespace: n, gateways: [g]}]
  route: [{destination: {host: c}}]
- match: [{sourceSubnet: 10.0.0.0/8}]
  route: [{destination: {host: d}}]
"""
    made = route(spec)
    assert made["origin"]["line"] == 1
    assert [r["line"] for r in made["http"]] == [7, 8]
    assert [r["line"] for r in made["tcp"]] == [10]  # the last one matches nothing it can know
    assert made["tcp"][0]["matches"] == [
        {
            "destination_subnets": ["10.0.0.0/8"],
            "sni_hosts": [],
            "port": 1,
            "source_labels": {},
            "source_namespace": "n",
            "gateways": ["default/g"],
        }
    ]


def test_visibility_and_age(read):
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x, creationTimestamp: 2024-01-02T03:04:05Z}
spec: {hosts: [a], exportTo: ['*', '.', '~', other], tcp: [{route: [{destination: {host: a}}]}]}
"""
    made = read(text).required()["routes"][0]
    assert made["created"] == "2024-01-02T03:04:05Z"
    assert made["export_to"] == ["all", "own", "nobody", {"namespace": "other"}]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{hosts: [a]}", "http, tcp or tls must be given"),
        ("{hosts: ['*'], http: [{redirect: {}}]}", "wildcard host * is not allowed"),
        ("{hosts: ['a b'], http: [{redirect: {}}]}", "is not a host name"),
        ("{hosts: [a], http: [{}]}", "the rule does nothing"),
        ("{hosts: [a], http: [{redirect: {}, directResponse: {status: 200}}]}", "only one of"),
        ("{hosts: [a], http: [{redirect: {uri: /, prefixRewrite: /}}]}", "only one of"),
        ("{hosts: [a], http: [{redirect: {prefixRewrite: /}}]}", "needs a uri.prefix"),
        ("{hosts: [a], http: [{redirect: {redirectCode: 200}}]}", "Unsupported value"),
        ("{hosts: [a], http: [{redirect: {}, rewrite: {uri: /}}]}", "cannot have a rewrite"),
        ("{hosts: [a], http: [{directResponse: {status: 99}}]}", "at least 200"),
        ("{hosts: [a], http: [{match: [{uri: {exact: a, prefix: b}}], redirect: {}}]}", "only one"),
        ("{hosts: [a], http: [{match: [{uri: {regex: '('}}], redirect: {}}]}", "unterminated"),
        ("{hosts: [a], http: [{match: [{uri: {regex: '(?=a)'}}], redirect: {}}]}", "looking ahead"),
        ("{hosts: [a], http: [{route: [{destination: {host: ''}}]}]}", "is not a host name"),
        (
            "{hosts: [a], http: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]}",
            "weights add up to 0",
        ),
        ("{hosts: [a], http: [{route: [{destination: {host: a}, weight: -1}]}]}", "at least 0"),
        ("{hosts: [a], http: [{redirect: {}, retries: {retryOn: 5xy}}]}", "unknown retry"),
        ("{hosts: [a], http: [{redirect: {}, retries: {attempts: -1}}]}", "at least 0"),
        ("{hosts: [a], http: [{redirect: {}, timeout: -1s}]}", "is negative"),
        ("{hosts: [a], http: [{redirect: {}, fault: {delay: {}}}]}", "needs fixedDelay"),
        ("{hosts: [a], http: [{redirect: {}, fault: {delay: {fixedDelay: 0s}}}]}", "at least 1ms"),
        ("{hosts: [a], http: [{redirect: {}, fault: {abort: {}}}]}", "one of httpStatus"),
        (
            (
                "{hosts: [a], http: [{redirect: {}, fault: {abort: {httpStatus: 500,"
                " percentage: {value: 101}}}}]}"
            ),
            "at most 100",
        ),
        (
            "{hosts: [a], http: [{redirect: {}, headers: {request: {set: {'a b': x}}}}]}",
            "is not a header name",
        ),
        (
            '{hosts: [a], http: [{redirect: {}, headers: {request: {set: {a: "b\\r\\nc: d"}}}}]}',
            "cannot have a line break",
        ),
        ("{hosts: [a], tcp: [{}]}", "needs a route"),
        ("{hosts: [a], tls: [{match: [{port: 1}]}]}", "sniHosts: Required value"),
        ("{hosts: [a], http: [{redirect: {}, match: [{port: 70000}]}]}", "at most 65535"),
        (
            (
                "{hosts: [a], http: [{redirect: {}, rewrite: {uriRegexRewrite: {match: '[',"
                " rewrite: x}}}]}"
            ),
            "unterminated",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(errors, document, spec, message):
    found = errors(document("VirtualService", spec))
    assert any(message in e.message for e in found), found
