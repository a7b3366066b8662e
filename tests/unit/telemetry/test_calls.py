"""Who calls whom, out of metrics as sidecars print them."""

import pytest

from meshcore.telemetry.calls import Calls, Edge, counted

LABELS = {
    "reporter": "destination",
    "source_workload": "web",
    "source_principal": "spiffe://a/ns/default/sa/web",
    "destination_workload": "reviews",
    "destination_service_name": "reviews",
    "response_code": "200",
    "connection_security_policy": "mutual_tls",
}
WEB = Edge("web", "reviews")


def sample(name: str, value: float, **labels: str) -> str:
    all_labels = ",".join(f'{key}="{text}"' for key, text in {**LABELS, **labels}.items())
    return f"{name}{{{all_labels}}} {value}\n"


def requests(value: float, **labels: str) -> str:
    return "# TYPE istio_requests_total counter\n" + sample("istio_requests_total", value, **labels)


def denied(policy: str, value: float) -> str:
    name = "meshcore_requests_denied_total"
    return f'# TYPE {name} counter\n{name}{{policy="{policy}"}} {value}\n'


def durations(**below: float) -> str:
    name = "istio_request_duration_milliseconds"
    bounds = {key.lstrip("_"): value for key, value in below.items()}
    lines = [sample(f"{name}_bucket", value, le=bound) for bound, value in bounds.items()]
    return f"# TYPE {name} histogram\n" + "".join(lines)


@pytest.mark.parametrize(
    ("code", "errors"), [("200", 0), ("302", 0), ("403", 5), ("503", 5), ("0", 5), ("", 5)]
)
def test_answers_from_400_on_are_errors_and_so_is_none(code, errors):
    found = counted({"reviews": requests(5, response_code=code)}).calls[WEB]
    assert (found.requests, found.errors) == (5, errors)
    assert found.identity == "spiffe://a/ns/default/sa/web"


def test_a_call_that_both_ends_count_is_counted_once():
    at_web = requests(9, reporter="source", connection_security_policy="unknown")
    found = counted({"web": at_web, "reviews": requests(7)}).calls
    assert {edge: calls.requests for edge, calls in found.items()} == {WEB: 7}


def test_a_call_out_of_the_mesh_is_taken_from_the_caller():
    text = requests(
        3,
        reporter="source",
        destination_workload="unknown",
        destination_service_name="api.example",
        connection_security_policy="unknown",
    )
    found = counted({"web": text}).calls[Edge("web", "api.example")]
    assert (found.requests, found.identity, found.is_proved) == (3, None, False)


def test_plain_text_has_no_identity():
    text = requests(1, connection_security_policy="none", source_principal="unknown")
    found = counted({"reviews": text}).calls[WEB]
    assert (found.identity, found.is_proved) == (None, True)


def test_what_was_counted_since_is_the_difference():
    before = counted({"reviews": requests(5) + denied("a rule", 2) + denied("other", 1)})
    now = counted({"reviews": requests(12) + denied("a rule", 6) + denied("other", 1)})
    since = now.since(before)
    assert since.calls[WEB].requests == 7
    assert since.denied == {("reviews", "a rule"): 4}


def test_a_sidecar_that_was_started_again_counts_from_zero():
    before = counted({"reviews": requests(50) + denied("a rule", 20)})
    since = counted({"reviews": requests(3) + denied("a rule", 2)}).since(before)
    assert since.calls[WEB].requests == 3
    assert since.denied == {("reviews", "a rule"): 2}


@pytest.mark.parametrize(("share", "milliseconds"), [(0.25, 0.5), (0.5, 1.0), (0.75, 5.5), (1, 10)])
def test_quantiles_lie_on_a_line_between_two_bounds(share, milliseconds):
    text = durations(_1=2, _10=4, **{"_+Inf": 4})
    assert counted({"reviews": text}).calls[WEB].within_ms(share) == pytest.approx(milliseconds)


def test_beyond_the_last_bound_it_is_the_last():
    text = durations(_1=0, _10=0, **{"_+Inf": 4})
    assert counted({"reviews": text}).calls[WEB].within_ms(0.5) == 10


def test_without_requests_there_is_no_quantile():
    assert Calls().within_ms(0.5) is None
    assert Calls(below={1.0: 0, float("inf"): 0}).within_ms(0.99) is None


@pytest.mark.parametrize("text", ["<html>", 'istio_requests_total{a="b} 1', "a b c d"])
def test_another_text_is_refused(text):
    with pytest.raises(ValueError, match="web: what is said there are no metrics"):
        counted({"web": text})
