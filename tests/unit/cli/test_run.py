"""`meshcore run` as real processes."""

import json
import signal
import socket
import stat
from pathlib import Path

import pytest
from tests.unit.cli.harness import get, meshcore, until

from meshcore.control.application import STOP_SECONDS

pytest.importorskip("meshcore.native")
pytestmark = pytest.mark.native


def names(web, count=20) -> set[str]:
    answers = [get(web.addresses["outbound"], host="reviews:9080") for _ in range(count)]
    return {body.decode() for status, body in answers if status == 200}


def test_a_request_goes_through_two_sidecars_and_edits_change_where(mesh):
    for version, address in (("v1", "11"), ("v2", "12")):
        command = mesh.application(f"{address}:9080", version)
        mesh.start("--service", "reviews", "--version", version, command=command)
    web = mesh.start("--service", "web", "--no-inbound")
    until(lambda: names(web, 1) == {"v1"}, "answer of v1")

    # a good edit
    mesh.edit("v1: 100, v2: 0", "v1: 0, v2: 100")
    until(lambda: web.status()["revision"] == 2, "revision 2")
    until(lambda: "~ VirtualService default/reviews" in web.log, "line of the log")
    assert names(web) == {"v2"}

    # a bad edit
    mesh.edit("v1: 0, v2: 100", "v1: 0, v2: 99")
    until(lambda: web.status()["refusals"], "refusal")
    assert names(web) == {"v2"}
    assert web.status()["revision"] == 2
    until(lambda: "mesh.yaml:5:5: error[IST0106]" in web.log, "line of the log")
    assert "\n      |     ^\n" in web.log

    # the command of people shows it
    shown = meshcore("status", "--mesh", mesh.file)
    assert shown.returncode == 0, shown.stderr
    assert "web refused revision 3" in shown.stdout
    assert "shares must sum to 100" in shown.stdout
    plain = json.loads(meshcore("status", "--mesh", mesh.file, "-o", "json").stdout)
    assert [one["name"] for one in plain] == ["reviews-v1", "reviews-v2", "web"]
    assert {one["state"] for one in plain} == {"ready"}

    # a request is from whom it says it is
    assert (
        "spiffe://cluster.local/ns/default/sa/web"
        in meshcore("cert", "show", "--mesh", mesh.file).stdout
    )


def test_who_is_not_allowed_is_refused(mesh):
    mesh.start("--service", "reviews", "--version", "v1",
               command=mesh.application("11:9080", "v1"))  # fmt: skip
    other = mesh.start("--service", "other", "--no-inbound", "--address", f"{mesh.network}.99")
    status, _ = until(
        lambda: (answer := get(other.addresses["outbound"], host="reviews:9080"))[0] and answer,
        "answer",
    )
    assert status == 403


def test_sigterm_drains_and_lets_a_request_end(mesh):
    with socket.create_server((f"{mesh.network}.11", 9080)) as application:
        application.settimeout(20)
        mesh.edit("    allow: [web]\n", "")
        one = mesh.start("--service", "reviews", "--version", "v1", "--drain", "20s")
        host, _, port = one.addresses["inbound"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: reviews:9080\r\n\r\n")
            behind, _ = application.accept()
            with behind:
                assert behind.recv(65536).startswith(b"GET / ")
                one.send(signal.SIGTERM)
                until(lambda: "draining" in one.log, "drain")
                behind.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
                answer = b""
                while not answer.endswith(b"late"):
                    more = client.recv(65536)
                    assert more, answer
                    answer += more
    assert answer.startswith(b"HTTP/1.1 200")
    assert one.wait() == 0
    assert not list((mesh.state / "running").iterdir())


def test_a_second_signal_ends_at_once(mesh):
    with socket.create_server((f"{mesh.network}.11", 9080)) as application:
        application.settimeout(20)
        mesh.edit("    allow: [web]\n", "")
        one = mesh.start("--service", "reviews", "--version", "v1", "--drain", "1h")
        host, _, port = one.addresses["inbound"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: reviews:9080\r\n\r\n")
            with application.accept()[0] as behind:
                behind.recv(65536)
                one.send(signal.SIGINT)
                until(lambda: "draining" in one.log, "drain")
                one.send(signal.SIGINT)
                assert one.wait() == 130


def test_a_second_signal_ends_an_application_that_ignores_the_first(mesh):
    ready, asked = mesh.directory / "started", mesh.directory / "asked"
    script = f"trap 'touch {asked}' TERM; touch {ready}; while :; do sleep 0.05; done"
    one = mesh.start("--service", "web", command=("sh", "-c", script))
    until(ready.exists, "application")
    one.send(signal.SIGTERM)
    until(asked.exists, "signal to the application")
    one.send(signal.SIGTERM)
    assert one.process.wait(STOP_SECONDS / 2) == 130


def test_the_application_gives_the_exit_status(mesh):
    one = mesh.start("--service", "web", command=mesh.application("10:80", "web", 7))
    until(lambda: get(f"{mesh.network}.10:80")[0] == 200, "application")
    one.send(signal.SIGTERM)
    assert one.wait() == 7


def test_an_application_that_ends_ends_the_sidecar(mesh):
    result = meshcore("run", "--mesh", mesh.file, "--service", "web", "--", "sh", "-c",
                      'test -n "$MESHCORE_OUTBOUND" && exit 9')  # fmt: skip
    assert result.returncode == 9, result.stderr


def test_a_program_that_does_not_exist_is_named(mesh):
    result = meshcore("run", "--mesh", mesh.file, "--service", "web", "--", "/no/such/program")
    assert result.returncode == 1
    assert "error: /no/such/program: no such file or directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--service", "reviews"], 2, "say --version or --address"),
        (["--service", "review", "--port", "80"], 4, 'did you mean "reviews"?'),
        (["--service", "reviews", "--version", "v3"], 4, "none fits --version v3"),
        (["--service", "web", "--key", __file__], 2, "they belong together"),
        (["--service", "web", "--crl", __file__], 2, "they belong together"),
        (["--service", "web", "--address", "web"], 2, "not an IP address"),
        (["--service", "web", "--app", "web:80"], 2, "not an IP address or localhost"),
        (["--service", "web", "--drain", "45"], 2, "write 45s or 45ms"),
        ([], 2, "--service"),
    ],
)
def test_what_is_wrong_is_said(mesh, arguments, status, text):
    result = meshcore("run", "--mesh", mesh.file, *arguments)
    assert result.returncode == status, result.stderr
    assert text in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_ready_file_that_cannot_be_written_is_said(mesh):
    file = mesh.directory / "nowhere" / "ready"
    result = meshcore("run", "--mesh", mesh.file, "--service", "web", "--ready-file", file)
    assert result.returncode == 1
    assert f"error: {file}: no such file or directory, give a file in a dir" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_second_sidecar_with_the_same_address_is_told_what_to_do(mesh):
    mesh.start("--service", "web")
    second = meshcore("run", "--mesh", mesh.file, "--service", "web")
    assert second.returncode == 1
    assert "another sidecar or program listens there" in second.stderr


def test_a_plugin_that_cannot_be_loaded_is_all_that_is_said(mesh, tmp_path):
    plugin = tmp_path / "broken.py"
    plugin.write_text("def (")
    result = meshcore("run", "--mesh", mesh.file, "--service", "web", "--plugin", plugin)
    assert (result.returncode, result.stderr) == (65, f"{plugin}:1: invalid syntax\n")


def test_a_service_that_the_mesh_does_not_have_is_said(mesh):
    one = mesh.start("--service", "revuews")
    until(lambda: "the mesh has no service revuews.default" in one.log, "banner")


def test_bad_documents_at_the_start_leave_the_last_good_state(mesh):
    refused = mesh.directory / "bad.yaml"
    refused.write_text("services: {web: {port: 0}}")
    result = meshcore("run", "--mesh", refused, "--service", "web", "--no-inbound")
    assert result.returncode == 65
    assert "bad.yaml:1:" in result.stderr

    first = mesh.start("--service", "web", "--no-inbound")
    good = first.status()["revision"]
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    mesh.edit("v1: 100", "v1: 1")
    one = mesh.start("--service", "web", "--no-inbound")
    assert "THE DOCUMENTS ARE BAD" in one.log
    assert one.status()["revision"] == good
    assert "must sum to 100" in one.status()["refusals"][0]["why"]
    mesh.edit("v1: 1,", "v1: 100,")
    until(lambda: one.status()["revision"] > good, "the good documents")
    assert one.status()["refusals"] == []


def test_a_change_that_removes_most_services_needs_to_be_confirmed(mesh):
    mesh.edit("    allow: [web]\n", "")
    one = mesh.start("--service", "client", "--no-inbound")
    many = "".join(
        f"  s{i}: {{port: 80, endpoints: ['{mesh.network}.{i}:80']}}\n" for i in range(20, 28)
    )
    mesh.file.write_text(f"services:\n{many}")
    until(lambda: one.status()["services"] == 8, "8 services")
    mesh.write("services:\n  s20: {port: 80, endpoints: ['NET.20:80']}\n")
    until(lambda: one.status()["refusals"], "refusal")
    assert "removes 7 of 8 services" in one.status()["refusals"][0]["why"]
    assert one.status()["services"] == 8
    (mesh.state / "confirm").touch()
    until(lambda: one.status()["services"] == 1, "the confirmed change")


def test_sighup_reads_again_and_opens_the_access_log_again(mesh):
    log = mesh.directory / "access.log"
    one = mesh.start("--service", "client", "--no-inbound", "--access-log", log)
    log.rename(mesh.directory / "old.log")
    one.send(signal.SIGHUP)
    until(log.exists, "the new log")
    get(one.addresses["outbound"], "/after", host="reviews:9080")
    until(lambda: "/after" in log.read_text(), "line in the new log")


def test_the_certificate_is_renewed_at_half_its_life(mesh):
    one = mesh.start("--service", "client", "--no-inbound", "--cert-ttl", "2s")
    before = one.status()["certificate"]["serial"]
    until(lambda: one.status()["certificate"]["serial"] != before, "another certificate")


def test_given_certificates_are_used_and_read_again(mesh):
    out = mesh.directory / "certs"
    issue = ["cert", "issue", "--mesh", mesh.file, "--service-account", "client", "--out", out]
    assert meshcore(*issue).returncode == 0
    assert stat.S_IMODE((out / "key.pem").stat().st_mode) == 0o600
    one = mesh.start("--service", "client", "--no-inbound", "--cert", out / "cert-chain.pem",
                     "--key", out / "key.pem", "--ca", out / "root-cert.pem")  # fmt: skip
    before = one.status()["certificate"]
    assert before["identity"] == "spiffe://cluster.local/ns/default/sa/client"
    assert meshcore(*issue).returncode == 0
    until(lambda: one.status()["certificate"]["serial"] != before["serial"], "the new one")


def test_plugins_are_reloaded_and_a_bad_one_is_refused(mesh):
    plugin = mesh.directory / "policy.py"
    source = "from meshcore.plugin import authorize, deny\n@authorize\ndef check(request):\n"
    plugin.write_text(f"{source}    return deny(418, 'one')\n")
    mesh.edit("    allow: [web]\n", "")
    one = mesh.start("--service", "reviews", "--version", "v1", "--plugin", plugin)

    def answer():
        return get(one.addresses["inbound"], host="reviews:9080")

    assert answer() == (418, b"one")
    plugin.write_text("import nothing_of_that_name\n")
    until(lambda: one.status()["refusals"], "refusal")
    assert "policy.py:1" in one.status()["refusals"][0]["why"]
    assert answer() == (418, b"one")
    plugin.write_text(f"{source}    return deny(419, 'two')\n")
    until(lambda: answer() == (419, b"two"), "the new policy")
    _, text = get(one.addresses["metrics"], "/metrics")
    assert b"meshcore_hook_" in text


def test_a_plugin_saved_beside_bad_documents_comes_with_the_good_ones(mesh):
    plugin = mesh.directory / "policy.py"
    source = "from meshcore.plugin import authorize, deny\n@authorize\ndef check(request):\n"
    plugin.write_text(f"{source}    return deny(418, 'one')\n")
    mesh.edit("    allow: [web]\n", "")
    one = mesh.start("--service", "reviews", "--version", "v1", "--plugin", plugin)
    good = mesh.file.read_text()
    mesh.edit("v1: 100", "v1: 1")
    until(lambda: one.status()["refusals"], "refusal")
    plugin.write_text(f"{source}    return deny(419, 'two')\n")
    until(lambda: len(one.status()["refusals"]) > 1, "second refusal")
    mesh.file.write_text(good)
    until(lambda: not one.status()["refusals"], "the good documents")
    assert get(one.addresses["inbound"], host="reviews:9080") == (419, b"two")


def test_the_process_stays_lean(mesh):
    one = mesh.start("--service", "client", "--no-inbound")
    process = Path("/proc", str(one.pid))
    assert "meshcore.cli.sidecar" in (process / "cmdline").read_text()
    assert "_native" in (process / "maps").read_text()
    assert "_pydantic_core" not in (process / "maps").read_text()


def test_a_change_that_opens_ports_needs_to_be_confirmed(mesh):
    one = mesh.start("--service", "reviews", "--version", "v1")
    mesh.edit("    allow: [web]\n", "")
    until(lambda: one.status()["refusals"], "refusal")
    assert (
        "removes 1 of 1 AuthorizationPolicies (default/reviews-callers), which opens"
        " reviews.default.svc.cluster.local to callers" in one.status()["refusals"][0]["why"]
    )
    assert get(one.addresses["inbound"], host="reviews:9080")[0] == 403
    (mesh.state / "confirm").touch()
    until(lambda: not one.status()["refusals"], "the confirmed change")
    assert get(one.addresses["inbound"], host="reviews:9080")[0] == 503


def test_a_sidecar_does_not_lose_its_own_service_unless_confirmed(mesh):
    one = mesh.start("--service", "web")
    mesh.edit("  web:", "  wab:")
    until(lambda: one.status()["refusals"], "refusal")
    assert "removes web.default, the service of this sidecar" in one.status()["refusals"][0]["why"]
    (mesh.state / "confirm").touch()
    until(lambda: not one.status()["refusals"], "the confirmed change")
