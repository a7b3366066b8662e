"""HTTP/2 by nghttp2's clients, through two sidecars."""

import re
import subprocess

import pytest

MESH = """
services:
  reviews:
    port: 9080
    endpoints: ["@11:9080"]
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""


@pytest.fixture(scope="module")
def web(shared):
    shared.write(MESH)
    shared.program("application", 11, 9080, "v1")
    return shared.sidecars(("reviews",), ("web",))[1]


def run(*command):
    return subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.needs("h2load")
def test_two_thousand_requests_on_four_connections(web):
    done = run(
        "h2load", "-n", 2000, "-c", 4, "-m", 32, "-H", ":authority: reviews:9080",
        f"{web.outbound}/bytes/100",
    )  # fmt: skip
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed" in done.stdout
    assert re.search(r"status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout)


@pytest.mark.needs("h2load")
def test_uploads_that_interleave_on_one_connection(web, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200_000)
    done = run(
        "h2load", "-n", 64, "-c", 1, "-m", 16, "-d", body, "-H", ":authority: reviews:9080",
        f"{web.outbound}/up",
    )  # fmt: skip
    assert "64 succeeded, 0 failed" in done.stdout
    assert "status codes: 64 2xx" in done.stdout


@pytest.mark.needs("nghttp")
def test_trailers_pass_both_ways(web, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"abc")
    ask = ("nghttp", "-v", "-H", ":authority: reviews:9080")
    trailer = ("-d", body, "--no-content-length", "--trailer", "x-check: 99")
    sent = run(*ask, *trailer, f"{web.outbound}/up")
    assert '"trailers": {"x-check": "99"}' in sent.stdout
    got = run(*ask, f"{web.outbound}/chunks")
    assert "x-sum: 7" in got.stdout
    assert "recv (stream_id=13) x-application: v1" in got.stdout


@pytest.mark.needs("nghttp")
def test_streams_of_one_connection_do_not_wait_for_each_other(web):
    """The slow one is asked first and answered last."""
    urls = (f"{web.outbound}/slow/400", f"{web.outbound}/bytes/1")
    done = run("nghttp", "-v", "-n", "-H", ":authority: reviews:9080", *urls)
    statuses = re.findall(r"recv \(stream_id=(\d+)\) :status: (\d+)", done.stdout)
    assert statuses == [("15", "200"), ("13", "200")]
