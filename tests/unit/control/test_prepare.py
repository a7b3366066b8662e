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
