import subprocess
import sys


def test_the_stub_says_what_the_extension_has():
    command = [sys.executable, "-m", "mypy.stubtest", "meshcore._native"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
