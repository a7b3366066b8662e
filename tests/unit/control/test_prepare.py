import json
import subprocess
import sys

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
