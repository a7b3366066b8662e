"""Sidecars with a control plane: they join, ask for what they call, and go on without it."""

import json
import os
import signal
import socket
import sys
import threading
import time

from tests.integration.harness import (
    MESHCORE,
    PROGRAMS,
    Control,
    Mesh,
    Sidecar,
    children,
    curl,
    eventually,
)
from tests.integration.joined import SELECTED, calls, free_port, registered

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec:
  hosts: [NAME.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: ADDRESS}]
---
"""
MESH = (
    ENTRY.replace("NAME", "reviews").replace("ADDRESS", "@21")
    + ENTRY.replace("NAME", "ratings").replace("ADDRESS", "@22")
    + """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /ratings}}]
    route: [{destination: {host: ratings}}]
  - route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - headers: {response: {set: {x-route: "of-ratings"}}}
    route: [{destination: {host: ratings}}]
"""
)
LATER = "---" + ENTRY.replace("NAME", "later").replace("ADDRESS", "@22").removesuffix("---\n")


def join(mesh: Mesh, control: Control, last: int, *options: object) -> Sidecar:
    """Starts a sidecar that only calls."""
    return mesh.joined(
        control.plain, "web", "--no-inbound", "--address", mesh.address(last),
        "--token", mesh.token("web"), *options,
    )  # fmt: skip


def begin(mesh: Mesh) -> Control:
    mesh.write(MESH)
    mesh.program("application", 21, 8080, "reviews")
    mesh.program("application", 22, 8080, "ratings")
    return mesh.control("--plain-port", free_port(), "--secure-port", free_port())


def get(sidecar: Sidecar, authority: str, path: str = "/"):
    return curl("-H", f"Host: {authority}", f"{sidecar.outbound}{path}")


def plane(sidecar: Sidecar) -> dict:
    return sidecar.status()["control_plane"]


def test_a_sidecar_asks_for_what_it_calls(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    assert plane(sidecar)["connected"]
    assert plane(sidecar)["asked"] == 0
    assert get(sidecar, "reviews:8080").json()["name"] == "reviews"
    assert get(sidecar, "reviews:8080", "/ratings/1").json()["name"] == "ratings"
    hosts = [host["host"] for host in json.loads(sidecar.admin("/config_dump"))["outbound"]]
    assert hosts == ["reviews.default.svc.cluster.local"], "its routes lead on to ratings"
    # A host that was only led to is asked for by itself, with its own rules.
    assert get(sidecar, "ratings:8080").header("x-route") == "of-ratings"
    assert (plane(sidecar)["asked"], plane(sidecar)["found"]) == (2, 2)
    assert "meshcore_control_connected 1\n" in sidecar.scrape()


def test_a_change_reaches_the_sidecar(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    assert get(sidecar, "ratings:8080").header("x-route") == "of-ratings"
    alone.write(MESH.replace("of-ratings", "of-another"))
    eventually(lambda: get(sidecar, "ratings:8080").header("x-route") == "of-another")


def test_a_host_that_is_not_there_is_remembered_and_may_come(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    address = f"{alone.address(22)}:8080"
    assert get(sidecar, address).json()["name"] == "ratings", "let through"
    assert [get(sidecar, "later:8080").code for _ in range(5)] == [503] * 5
    eventually(lambda: plane(sidecar)["asked"] == 2)
    alone.write(MESH + LATER)
    eventually(lambda: get(sidecar, "later:8080").code == 200)


def test_what_is_not_called_is_dropped(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11, "--discovery-unused", "3s")
    get(sidecar, "ratings:8080")
    for _ in range(8):
        assert get(sidecar, "reviews:8080").code == 200
        time.sleep(0.5)
    eventually(lambda: plane(sidecar)["asked"] == 1)
    assert get(sidecar, "ratings:8080").code == 200


def test_requests_that_wait_for_one_host_wait_together(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    codes: list[int] = []

    def call() -> None:
        codes.append(get(sidecar, "reviews:8080").code)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 16
    assert plane(sidecar)["asked"] == 1


def test_no_request_fails_while_the_control_plane_is_gone(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    assert get(sidecar, "reviews:8080").code == 200
    load = alone.load(sidecar, "reviews:8080", 200)
    control.signal(signal.SIGKILL)
    control.wait()
    eventually(lambda: not plane(sidecar)["connected"])
    assert "meshcore_control_connected 0\n" in sidecar.scrape()
    port = control.addresses["plain"].rpartition(":")[2]
    alone.write(MESH.replace("of-ratings", "of-another"))
    again = alone.control("--plain-port", port, "--secure-port", 0)
    eventually(lambda: plane(sidecar)["connected"])
    eventually(lambda: get(sidecar, "ratings:8080").header("x-route") == "of-another")
    again.signal(signal.SIGSTOP)
    time.sleep(1)
    assert get(sidecar, "reviews:8080").code == 200
    again.signal(signal.SIGCONT)
    result = load.end_of_it()
    assert not result["failed"], result


def test_a_sidecar_starts_without_its_control_plane(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    assert get(sidecar, "ratings:8080").header("x-route") == "of-ratings"
    eventually(lambda: list((alone.directory / ".meshcore/last-good").glob("*.json")))
    sidecar.signal()
    assert sidecar.wait() == 0
    control.signal(signal.SIGKILL)
    control.wait()
    again = join(alone, control, 11)
    assert "NO CONTROL PLANE" in again.said()
    assert get(again, "ratings:8080").header("x-route") == "of-ratings"
    assert again.ready_after_seconds < 10


def test_a_server_that_talks_nonsense_changes_nothing(alone):
    control = begin(alone)
    sidecar = join(alone, control, 11)
    assert get(sidecar, "reviews:8080").code == 200
    control.signal(signal.SIGKILL)
    control.wait()
    host, _, port = control.addresses["plain"].rpartition(":")
    answers = [b"HTTP/1.1 200 OK\r\n\r\njunk", b"\0" * 9000, b"", bytes(range(256)) * 40]
    with socket.create_server((host, int(port))) as junk:
        junk.settimeout(20)
        for answer in answers:
            connection, _ = junk.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
    assert get(sidecar, "reviews:8080").code == 200
    assert not plane(sidecar)["connected"]
    alone.control("--plain-port", port, "--secure-port", 0)
    eventually(lambda: plane(sidecar)["connected"])


def test_options_that_do_not_go_together_are_refused(alone):
    alone.write(MESH)
    for options, said in [
        (("--control", "nowhere"), "HOST:PORT"),
        (("--control", "http://10.1.2.3:15010"), "this host"),
        (("--token", "/dev/null"), "say --control"),
        (("--control", "127.0.0.1:1", "--mesh", alone.documents), "leave one of them out"),
    ]:
        done = alone.meshcore("run", "--service", "web", *options)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr, done.stderr


def test_a_workload_registers_when_it_is_ready_and_leaves_in_order(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    server = registered(alone, control, "reviews", 21)
    web, other = calls(alone, control, "web", 11), calls(alone, control, "other", 12)
    assert get(web, "reviews:8080").code == 503, "its application is not there yet"
    application = alone.program("application", 21, 8080, "reviews")
    eventually(lambda: get(web, "reviews:8080").code == 200)
    assert get(other, "reviews:8080").code == 403
    inbound = server.scrape()
    assert 'source_principal="spiffe://cluster.local/ns/default/sa/web"' in inbound
    assert 'connection_security_policy="mutual_tls"' in inbound
    application.signal(signal.SIGKILL)
    eventually(lambda: "not ready" in server.said())
    alone.program("application", 21, 8080, "reviews")
    eventually(lambda: get(web, "reviews:8080").code == 200)
    server.signal()
    assert server.wait() == 0
    assert get(web, "reviews:8080").code == 503


def test_the_key_outlives_the_sidecar_and_stays_here(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    web = calls(alone, control, "web", 11)
    serial = web.status()["certificate"]["serial"]
    web.signal()
    assert web.wait() == 0
    control.signal(signal.SIGKILL)
    control.wait()
    again = calls(alone, control, "web", 11)
    assert again.status()["certificate"]["serial"] == serial
    (kept,) = (alone.directory / ".meshcore/identity").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_command_is_started_and_registered(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    program = (sys.executable, PROGRAMS / "application.py", alone.address(21), 8080, "reviews")
    server = registered(alone, control, "reviews", 21, "--", *program)
    web = calls(alone, control, "web", 11)
    eventually(lambda: get(web, "reviews:8080").code == 200)
    server.signal()
    assert server.wait() == 0


def test_ports_are_those_of_the_service_unless_others_are_given(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    alone.program("application", 21, 8080, "reviews")
    alone.joined(
        control.secure, "reviews", "--address", alone.address(21),
        "--token", alone.token("reviews"),
    )  # fmt: skip
    web = calls(alone, control, "web", 11)
    eventually(lambda: get(web, "reviews:8080").code == 200)


def test_one_that_may_not_stand_there_is_told_so_once(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    refused = alone.start(
        MESHCORE, "run", "--control", control.secure, "--service", "reviews",
        "--token", alone.token("web"), "--address", alone.address(21),
    )  # fmt: skip
    eventually(lambda: "may not stand behind" in refused.said())
    time.sleep(2)  # it tries again meanwhile
    assert refused.said().count("use the service account of that name") == 1
    assert "connected to the control plane" not in refused.said()


def test_another_process_takes_over_without_a_lost_request(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    alone.program("application", 21, 8080, "reviews")
    server = registered(alone, control, "reviews", 21)
    web = calls(alone, control, "web", 11)
    eventually(lambda: get(web, "reviews:8080").code == 200)
    load = alone.load(web, "reviews:8080", 200)
    heir = registered(alone, control, "reviews", 21, "--takeover")
    assert server.wait() == 0
    time.sleep(1)
    assert not load.end_of_it()["failed"]
    assert get(web, "reviews:8080").code == 200
    assert heir.status()["control_plane"]["connected"]


def test_a_supervised_sidecar_that_dies_is_started_again(alone):
    alone.write(SELECTED)
    control = alone.control("--plain-port", 0, "--secure-port", free_port())
    alone.program("application", 21, 8080, "reviews")
    server = registered(alone, control, "reviews", 21, "--supervise")
    web = calls(alone, control, "web", 11)
    eventually(lambda: get(web, "reviews:8080").code == 200)
    (child,) = children(server.pid, "meshcore.cli.sidecar")
    os.kill(child, signal.SIGKILL)
    eventually(lambda: get(web, "reviews:8080").code == 200)
    server.signal()
    assert server.wait() == 0


def test_memory_does_not_grow_with_the_mesh(alone, record_property):
    """Three services are called, of few and of many: what differs is noise."""
    taken = {}
    for count, last in ((3, 31), (2000, 32)):
        alone.write("\n---\n".join(_entries(count)))
        control = alone.control("--plain-port", 0, "--secure-port", free_port())
        web = calls(alone, control, "web", last)
        for number in range(3):
            assert get(web, f"many-{number}:8080").code == 503
        assert plane(web)["found"] == 3
        taken[count] = web.memory_bytes()
        control.signal()
        assert control.wait() == 0
    record_property("bytes", taken)
    assert taken[2000] - taken[3] < 2 << 20, taken


def _entries(count: int) -> list[str]:
    names = (f"many-{number}" for number in range(count))
    return [
        ENTRY.replace("NAME", name).replace("ADDRESS", "@99").strip().removesuffix("---")
        for name in names
    ]
