"""What is left of redirections when a sidecar ends, whichever way."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.netns.hosts import MESHCORE, WITHIN_SECONDS, Host, Sidecar, link, unlink, until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.needs("ip", "iptables", "ip6tables", "nft"),
]

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  addresses: [10.77.9.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9080}]
  endpoints: [{address: 10.77.0.1}]
"""
WEB = ("--service", "web", "--no-inbound", "--address", "10.77.0.2")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    server, client = Host(f"mes-{os.getpid()}", 1), Host(f"mec-{os.getpid()}", 2)
    try:
        link(server, client)
        yield client
    finally:
        unlink(server, client)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "mesh.yaml").write_text(ENTRY)
    return tmp_path


def rules(host: Host) -> str:
    return host.run(MESHCORE, "intercept", "show").stdout


def ends(sidecar: Sidecar) -> int:
    return sidecar.process.wait(WITHIN_SECONDS)


@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_nothing_is_left_when_it_is_told_to_end(host: Host, folder: Path, backend: str):
    before = host.run("nft", "list", "ruleset").stdout
    one = host.sidecar(folder, *WEB, "--intercept-backend", backend)
    one.wait()
    assert "ISTIO_REDIRECT" in rules(host)
    one.process.terminate()
    assert ends(one) == 0
    assert rules(host) == ""
    assert "ISTIO" not in host.run("nft", "list", "ruleset").stdout
    assert "::6" not in host.run("ip", "-6", "addr", "show", "lo").stdout
    assert "ISTIO" not in before


def test_nothing_is_left_when_the_sidecar_is_killed(host: Host, folder: Path):
    one = host.sidecar(folder, *WEB)
    os.kill(one.wait(), signal.SIGKILL)
    assert ends(one) != 0
    assert rules(host) == ""


def test_a_supervised_sidecar_that_is_killed_stays_redirected_to(host: Host, folder: Path):
    one = host.sidecar(folder, *WEB, "--supervise")
    first = one.wait()
    one.ready.unlink()
    os.kill(first, signal.SIGKILL)
    until("starting it again", one.log)
    assert "ISTIO_REDIRECT" in rules(host), "connections wait for the next one"
    assert one.wait() != first
    one.process.terminate()
    assert ends(one) == 0
    assert rules(host) == ""


def test_one_that_is_taken_over_from_leaves_the_rules(host: Host, folder: Path):
    first = host.sidecar(folder, *WEB)
    first.wait()
    first.ready.unlink()
    second = host.sidecar(folder, *WEB, "--takeover")
    second.wait()
    assert ends(first) == 0
    assert "ISTIO_REDIRECT" in rules(host)
    second.process.terminate()
    assert ends(second) == 0
    assert rules(host) == ""


def test_when_all_are_killed_nothing_passes_until_it_is_cleared(host: Host, folder: Path):
    one = host.sidecar(folder, *WEB)
    one.wait()
    one.process.kill()
    ends(one)
    assert "ISTIO_REDIRECT" in rules(host)
    asked = ("curl", "-sS", "-m", "5", "http://10.77.0.1:9/")
    until = time.monotonic() + 10  # the sidecar sees within a turn that nobody is above it
    while host.run(*asked, check=False).returncode == 0 and time.monotonic() < until:
        time.sleep(0.1)
    assert host.run(*asked, check=False).returncode == 7
    assert "cleared" in host.run(MESHCORE, "intercept", "clear").stderr
    assert rules(host) == ""
    assert "nothing was redirected" in host.run(MESHCORE, "intercept", "clear").stderr


def test_the_application_is_started_when_it_is_redirected_and_is_no_sidecar(
    host: Host, folder: Path
):
    look = (
        "import os; print(os.environ['MESHCORE_OUTBOUND'], 1337 in [os.getgid(), *os.getgroups()])"
    )
    one = host.sidecar(folder, *WEB, command=(sys.executable, "-c", look))
    assert ends(one) == 0
    assert "http://127.0.0.1:15001 False" in one.log.read_text()
    assert rules(host) == ""


def test_the_rules_of_others_stay(host: Host):
    host.run("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "9", "-j", "RETURN")
    host.run(MESHCORE, "intercept", "apply")
    host.run(MESHCORE, "intercept", "apply", "--exclude-outbound-ports", "22")
    assert rules(host).count("OUTPUT -p tcp -m comment --comment meshcore") == 2  # a family each
    host.run(MESHCORE, "intercept", "clear")
    assert "--dport 9" in host.run("iptables", "-t", "nat", "-S").stdout


def test_the_capture_of_another_program_is_not_touched(host: Host):
    host.run("iptables", "-t", "nat", "-N", "ISTIO_OUTPUT")
    host.run("iptables", "-t", "nat", "-A", "OUTPUT", "-j", "ISTIO_OUTPUT")
    done = host.run(MESHCORE, "intercept", "apply", check=False)
    assert done.returncode == 1
    assert "another program captures this traffic" in done.stderr
    host.run(MESHCORE, "intercept", "clear")
    assert "ISTIO_OUTPUT" in host.run("iptables", "-t", "nat", "-S").stdout
    host.run("iptables", "-t", "nat", "-D", "OUTPUT", "-j", "ISTIO_OUTPUT")
    host.run("iptables", "-t", "nat", "-X", "ISTIO_OUTPUT")


def test_a_user_who_may_not_is_told_what_it_needs(host: Host):
    nobody = ("setpriv", "--reuid=0", "--inh-caps=-all", "--bounding-set=-all")
    done = host.run(*nobody, MESHCORE, "intercept", "apply", check=False)
    assert done.returncode == 1
    assert "NET_ADMIN" in done.stderr
