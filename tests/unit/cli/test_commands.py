"""Commands that end by themselves."""

import json
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from tests.unit.cli.harness import meshcore

pytest.importorskip("meshcore.native")

# What must not be imported to say what there is. Milliseconds depend on the machine; this does not.
HEAVY = ("pydantic", "rich", "asyncio", "grpc", "yaml", "watchfiles", "prometheus_client",
         "meshcore.native", "meshcore.config.models")  # fmt: skip

LISTS_MODULES = """
import atexit, sys
sys.argv[1:] = {arguments!r}
atexit.register(lambda: sys.stderr.write("\\n".join(sys.modules)))
from meshcore.cli import main
main()
"""


def modules(*arguments: str) -> set[str]:
    code = LISTS_MODULES.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["--version"]])
def test_help_and_version_import_nothing_heavy(arguments):
    imported = modules(*arguments)
    assert "meshcore.cli" in imported
    assert not imported.intersection(HEAVY)


def test_the_version_does_not_wait_for_the_reader_of_options():
    assert "typer" not in modules("version")


def test_the_sidecar_imports_nothing_heavy():
    code = "import sys, meshcore.cli.sidecar, meshcore.cli.serve; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines())
    assert "meshcore.native" in imported
    heavy = {*HEAVY, "meshcore.config", "typer", "argparse", "pathlib", "ssl", "http.client"}
    assert imported & (heavy - {"meshcore.native"}) == set()


def test_help_lists_every_command():
    shown = meshcore("--help").stdout
    for name in ("demo", "run", "analyze", "expand", "status", "graph", "cert", "version"):
        assert f"\n  {name} " in shown
        help_of_one = meshcore(name, "--help")
        assert help_of_one.returncode == 0, help_of_one.stderr


def test_every_option_of_run_has_a_variable():
    shown = " ".join(meshcore("run", "--help").stdout.split())
    options = [word for word in shown.split() if word.startswith("--") and word != "--help"]
    assert len(options) > 20
    negated = shown.count(" / --no-")  # two words of one option
    assert shown.count("[env var: MESHCORE_") >= len(set(options)) - negated


def test_options_come_from_variables(tmp_path):
    mesh = tmp_path / "mesh.yaml"
    mesh.write_text("services: {web: {port: 80, endpoints: ['127.0.0.1:80', '127.0.0.2:80']}}")
    result = meshcore("run", MESHCORE_SERVICE="web", MESHCORE_MESH=str(mesh))
    assert result.returncode == 2
    assert "web has 127.0.0.1 and 127.0.0.2: say --address" in result.stderr


def test_version_is_also_for_programs():
    assert meshcore("version").stdout.startswith("meshcore ")
    assert set(json.loads(meshcore("version", "-o", "json").stdout)) == {"meshcore", "python"}
    assert set(yaml.safe_load(meshcore("version", "-o", "yaml").stdout)) == {"meshcore", "python"}


def test_an_unknown_command_is_a_wrong_option():
    result = meshcore("runn")
    assert result.returncode == 2
    assert "runn" in result.stderr


GOOD = "services:\n  web: {port: 80, versions: {v1: ['127.0.0.1:80']}, split: {v1: 100}}\n"
FINDING = GOOD.replace("100", "99")
WARNING = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x, namespace: default}
spec: {hosts: [web], gateways: [nowhere], http: [{route: [{destination: {host: nobody}}]}]}
"""


@pytest.mark.parametrize(
    ("text", "arguments", "status"),
    [
        (GOOD, [], 0),
        (FINDING, [], 79),
        (FINDING, ["--suppress", "IST0106"], 0),
        ("a: [", [], 65),
        (WARNING, ["--failure-threshold", "info"], 79),
    ],
)
def test_analyze_ends_as_istioctl_does(tmp_path, text, arguments, status):
    file = tmp_path / "mesh.yaml"
    file.write_text(text)
    result = meshcore("analyze", file, *arguments)
    assert result.returncode == status, result.stdout + result.stderr


def test_analyze_points_at_the_place(tmp_path):
    file = tmp_path / "mesh.yaml"
    file.write_text(FINDING)
    shown = meshcore("analyze", file)
    assert f"{file}:2:" in shown.stdout
    assert "| " in shown.stdout
    assert shown.stdout.rstrip().endswith("1 error")
    (finding,) = json.loads(meshcore("analyze", file, "-o", "json").stdout)
    assert (finding["code"], finding["line"]) == ("IST0106", 2)


def test_analyze_says_what_cannot_be_read(tmp_path):
    result = meshcore("analyze", tmp_path / "nothing.yaml")
    assert result.returncode == 65
    assert "no such file or directory" in result.stdout


def test_expand_gives_documents_that_mean_the_same(tmp_path):
    file, written = tmp_path / "mesh.yaml", tmp_path / "written.yaml"
    file.write_text(GOOD)
    shown = meshcore("expand", file)
    assert shown.returncode == 0, shown.stderr
    written.write_text(shown.stdout)
    kinds = [document["kind"] for document in yaml.safe_load_all(shown.stdout)]
    assert "ServiceEntry" in kinds
    assert "VirtualService" in kinds
    assert meshcore("expand", written).stdout == shown.stdout
    assert meshcore("analyze", written).returncode == 0


def test_expand_refuses_what_is_no_document(tmp_path):
    file = tmp_path / "mesh.yaml"
    file.write_text("services: {web: {port: 0}}")
    result = meshcore("expand", file)
    assert (result.returncode, result.stdout) == (65, "")
    assert "mesh.yaml:1:" in result.stderr


def test_status_without_sidecars_is_not_found(tmp_path):
    file = tmp_path / "mesh.yaml"
    file.write_text("services: {web: {port: 80, endpoints: ['127.3.4.5:80']}}")
    assert meshcore("status", "--mesh", file).returncode == 4
    assert json.loads(meshcore("status", "--mesh", file, "-o", "json").stdout) == []


def test_status_of_a_port_that_does_not_answer_is_not_ready():
    result = meshcore("status", "--admin", "127.3.4.5:1")
    assert result.returncode == 3
    assert "127.3.4.5:1 does not answer: connection refused" in result.stdout


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_status_of_what_is_no_port_is_not_ready(port):
    result = meshcore("status", "--admin", f"127.0.0.1:{port}")
    assert result.returncode == 3, result.stderr
    assert f"127.0.0.1:{port} does not answer: " in result.stdout


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (404, b'{"error": "not found"}'),
        (200, b'{"error": "not found"}'),
        (404, b'{"state": "ready", "revision": 1, "node": {}}'),
        (200, b'{"state": "ready", "revision": 1, "node": "web"}'),
        (200, b"[]"),
    ],
)
def test_status_of_another_program_is_not_ready(code, body):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = meshcore("status", "--admin", f"127.0.0.1:{server.server_port}")
        thread.join()
    assert result.returncode == 3, result.stderr
    assert "does not answer: what listens there is no sidecar" in result.stdout


def test_the_authority_is_secret_and_made_once(tmp_path):
    file, ca = tmp_path / "mesh.yaml", tmp_path / ".meshcore" / "ca"
    file.write_text(GOOD)
    assert meshcore("cert", "show", "--mesh", file).returncode == 4
    assert meshcore("cert", "init", "--mesh", file).returncode == 0
    root = (ca / "root-cert.pem").read_bytes()
    assert stat.S_IMODE(ca.stat().st_mode) == 0o700
    assert stat.S_IMODE(ca.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in ca.iterdir()} == {0o600}
    assert "already" in meshcore("cert", "init", "--mesh", file).stdout
    assert (ca / "root-cert.pem").read_bytes() == root
    (shown,) = json.loads(meshcore("cert", "show", "--mesh", file, "-o", "json").stdout)
    assert shown["holder"] == "authority"
    assert "cluster.local" in shown["identity"]


def test_an_identity_that_cannot_be_is_refused(tmp_path):
    file = tmp_path / "mesh.yaml"
    file.write_text(GOOD)
    result = meshcore("cert", "issue", "--mesh", file, "--service-account", "a/b",
                      "--out", tmp_path / "out")  # fmt: skip
    assert result.returncode == 1
    assert "is not spiffe://" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_for_certificates_that_is_a_file_is_said(tmp_path):
    file, out = tmp_path / "mesh.yaml", tmp_path / "out"
    file.write_text(GOOD)
    out.write_text("")
    result = meshcore("cert", "issue", "--mesh", file, "--service-account", "a", "--out", out)
    assert (result.returncode, result.stderr) == (
        1, f"error: {out}: file exists, give a directory as --out\n",
    )  # fmt: skip


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n"])
def test_analyze_says_that_there_are_no_documents(tmp_path, text):
    if text is not None:
        (tmp_path / "mesh.yaml").write_text(text)
    (tmp_path / "notes.txt").write_text(GOOD)
    result = meshcore("analyze", tmp_path)
    assert (result.returncode, result.stdout) == (0, "nothing found\n")
    note = f"note: no documents in {tmp_path}: *.yaml and *.yml files are read\n"
    assert result.stderr == note
    as_json = meshcore("analyze", tmp_path, "-o", "json")
    assert (as_json.returncode, json.loads(as_json.stdout), as_json.stderr) == (0, [], note)
    (tmp_path / "more.yaml").write_text(GOOD)
    assert meshcore("analyze", tmp_path).stderr == ""
