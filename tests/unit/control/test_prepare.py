import json
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-P", "-m", "meshcore.control.prepare"]


def test_a_sidecar_that_ended_before_it_asked_leaves_no_traceback():
    ended = subprocess.run(COMMAND, input=b"", capture_output=True, check=False, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


def test_a_sidecar_that_ended_before_the_answer_leaves_no_traceback(tmp_path):
    request = {
        "mesh": str(tmp_path / "missing"), "state": str(tmp_path), "wanted": {},
        "access_log": None, "above": 0, "in_force": None, "is_new": False, "allow_shrink": False,
    }  # fmt: skip
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.close()
        child.stdin.write(json.dumps(request).encode())
        child.stdin.close()
        assert child.stderr.read() == b""
        assert child.wait(30) == 1


@pytest.fixture
def answer(tmp_path):
    """What the child answers about a mesh: exit status, head and mesh."""

    def _answer(mesh, **more):
        request = {
            "mesh": str(mesh), "state": str(tmp_path),
            "wanted": {"service": "a", "namespace": "default", "ports": []}, "access_log": None,
            "above": 0, "in_force": None, "is_new": False, "allow_shrink": False, **more,
        }  # fmt: skip
        done = subprocess.run(
            COMMAND, input=json.dumps(request).encode(), capture_output=True, check=False,
            timeout=30,
        )  # fmt: skip
        assert done.stderr == b""
        head, written = map(json.loads, done.stdout.splitlines())
        return done.returncode, head, written

    return _answer


def test_a_mesh_is_written_as_json(answer, tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {a: {port: 80}}\n")
    status, head, mesh = answer(tmp_path, above=8)
    assert status == 0
    assert (head["revision"], mesh["revision"], head["services"]) == (9, 9, 1)
    assert mesh["services"][0]["origin"]["file"] == str(tmp_path / "mesh.yaml")
    assert head["diagnostics"] == []


def test_what_is_refused_has_no_mesh(answer, tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {a: {prot: 80}}\n")
    status, head, mesh = answer(tmp_path)
    assert (status, mesh) == (65, None)
    assert {d["code"] for d in head["diagnostics"]} == {"IST0106"}
    assert {d["line"] for d in head["diagnostics"]} == {1}


def test_what_cannot_be_read_is_refused(answer, tmp_path):
    status, head, mesh = answer(tmp_path / "none")
    assert (status, mesh) == (65, None)
    assert head["diagnostics"][0]["message"] == "no such file or directory"


def test_letters_of_all_languages_leave_no_traceback(answer, tmp_path):
    (tmp_path / "mesh.yaml").write_text("services: {é: {port: 80}}\n", encoding="utf-8")
    status, head, mesh = answer(tmp_path)
    assert (status, mesh) == (65, None)
    assert "é" in head["diagnostics"][0]["message"]


MESH = "services: {web: {port: 80, endpoints: ['127.0.0.1:80']}}\n"
CONFIG = "---\napiVersion: meshcore.io/v1\nkind: MeshConfig\nspec: "
JSON, TEXT, OWN = "json", {"text": None}, {"text": "%METHOD%"}


@pytest.mark.parametrize(
    ("spec", "wanted", "path", "form"),
    [
        ("{accessLogEncoding: JSON}", "/a.log", "/a.log", JSON),
        ("{accessLogFormat: '%METHOD%'}", "/a.log", "/a.log", OWN),
        ("{accessLogEncoding: JSON, accessLogFile: /b.log}", "/a.log", "/a.log", JSON),
        ("{}", "/a.log", "/a.log", TEXT),
        (None, "/a.log", "/a.log", TEXT),
        ("{accessLogEncoding: JSON}", "text", "/dev/stdout", TEXT),
        ("{}", "json", "/dev/stdout", JSON),
    ],
)
def test_the_form_of_the_mesh_holds_for_a_file_of_the_command_line(
    tmp_path, spec, wanted, path, form
):
    mesh = tmp_path / "mesh.yaml"
    mesh.write_text(MESH + (f"{CONFIG}{spec}" if spec else ""))
    request = {
        "mesh": str(mesh), "state": str(tmp_path),
        "wanted": {"service": "web", "namespace": "default", "ports": []}, "access_log": wanted,
        "above": 0, "in_force": None, "is_new": False, "allow_shrink": False,
    }  # fmt: skip
    done = subprocess.run(
        COMMAND, input=json.dumps(request), capture_output=True, text=True, check=True, timeout=30
    )
    settings = json.loads(done.stdout.splitlines()[1])["settings"]
    assert settings["access_log"] == {"path": path, "format": form}


def test_credentials_are_for_gateways_of_their_namespace_alone(answer, tmp_path):
    head = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n"
    values = "stringData: {tls.crt: c, tls.key: k}\n"
    text = "---\n".join(
        f"{head}metadata: {{name: web, namespace: {name}}}\n{values}"
        for name in ("default", "other")
    )
    (tmp_path / "mesh.yaml").write_text(text)
    gateway = {"service": "edge", "namespace": "default", "ports": [], "is_gateway": True}
    _, head, mesh = answer(tmp_path, wanted=gateway)
    assert [one["origin"]["namespace"] for one in mesh["credentials"]] == ["default"]
    assert head["own"]["name"] == "edge"
    _, _, mesh = answer(tmp_path, wanted={**gateway, "is_gateway": False})
    assert mesh["credentials"] == []
