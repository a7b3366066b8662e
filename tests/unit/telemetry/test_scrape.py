import subprocess
import sys
import time

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from meshcore.telemetry import process, scrape
from meshcore.telemetry.prometheus import NativeCollector


def test_metrics_of_the_process_are_sound():
    found = {family.name: family for family in families(process.exposition())}
    assert found["process_resident_memory_bytes"].samples[0].value > 1e6
    assert found["process_cpu_seconds"].type == "counter"
    assert found["process_open_fds"].samples[0].value >= 3
    start = found["process_start_time_seconds"].samples[0].value
    assert start == pytest.approx(_started_seconds(), abs=1.5)


def _started_seconds():
    client = generate_latest(REGISTRY).decode()
    return (
        next(f for f in families(client) if f.name == "process_start_time_seconds").samples[0].value
    )


def test_without_a_plugin_that_has_it_the_library_is_not_imported():
    code = (
        "import sys; from meshcore.telemetry import scrape; text = scrape.exposition();"
        "assert b'process_cpu_seconds_total' in text; print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture
def registry(monkeypatch):
    one = CollectorRegistry()
    monkeypatch.setattr("prometheus_client.REGISTRY", one)
    return one


def test_metrics_of_plugins_are_there_once(registry):
    Counter("tenant_requests", "Requests.", ["tenant"], registry=registry).labels('a"b').inc(2)
    Gauge("meshcore_workers", "Not ours.", registry=registry).set(1)
    Gauge("istio_build", "Not ours.", registry=registry).set(1)
    text = scrape.exposition().decode()
    found = list(families(text))
    names = [family.name for family in found]
    assert len(names) == len(set(names))
    assert {"tenant_requests", "process_open_fds"} <= set(names)
    assert not {"meshcore_workers", "istio_build"} & set(names)
    sample = next(f for f in found if f.name == "tenant_requests").samples[0]
    assert (sample.labels, sample.value) == ({"tenant": 'a"b'}, 2)


class TestNative:
    native = pytest.importorskip("meshcore.native")

    @pytest.fixture
    def proxy(self):
        node = (
            b'{"name": "web", "namespace": "default", "address": "127.0.0.1",'
            b' "identity": "spiffe://td/ns/default/sa/web",'
            b' "listen": {"outbound": "127.0.0.1:0", "metrics": "127.0.0.1:0"}}'
        )
        proxy = self.native.Proxy(b'{"revision": 1}', node, self.native.Options())
        yield proxy
        proxy.stop()

    def _get(self, address, path="/metrics", **headers):
        import http.client  # noqa: PLC0415 - of this test alone

        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", path, headers=headers)
        body = connection.getresponse().read()
        connection.close()
        return body.decode()

    def test_a_scrape_has_native_metrics_and_pythons_once_each(self, proxy):
        proxy.on_scrape(scrape.exposition)
        found = list(families(self._get(proxy.addresses()["metrics"])))
        names = [family.name for family in found]
        assert len(names) == len(set(names))
        assert {"meshcore_workers", "istio_build", "process_open_fds"} <= set(names)

    def test_what_fails_leaves_the_native_metrics(self, proxy, monkeypatch):
        seen = []
        monkeypatch.setattr(sys, "unraisablehook", seen.append)
        proxy.on_scrape(lambda: 1 / 0)
        assert "meshcore_workers" in self._get(proxy.addresses()["metrics"])
        assert seen[0].exc_type is ZeroDivisionError

    def test_the_collector_says_what_the_native_text_says(self, proxy):
        self._get(proxy.addresses()["outbound"], host="nowhere.invalid")
        registry = CollectorRegistry()
        registry.register(NativeCollector(proxy))

        def both():
            texts = proxy.metrics(), generate_latest(registry), proxy.metrics()
            return [{f.name: f for f in families(text.decode()) if f.samples} for text in texts]

        # Workers hand over what they counted once a second; what moves is compared again.
        deadline = time.monotonic() + 20
        told, collected, again = both()
        while "istio_requests" not in told or _all(told) != _all(again):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            told, collected, again = both()
        assert any(family.type == "histogram" for family in collected.values())
        assert _all(collected) == _all(told)


def _all(found):
    return {name: (family.type, _values(family)) for name, family in found.items()}


def _values(family):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
