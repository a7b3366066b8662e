"""`meshcore intercept` and the options that say what is redirected."""

import os
import subprocess
from pathlib import Path

import pytest
import typer

from meshcore.cli import intercept_options as options
from meshcore.control import redirect
from meshcore.control.interception.capture import USER
from meshcore.errors import InterceptFailed

NOTHING = (None,) * 6


def test_lists_become_what_is_captured():
    written = ("80, 443", "22", "3306", "25,25", "10.1.2.3/8,fd00::/8", "10.0.0.1")
    one = options.capture(written)
    assert (one.inbound_ports, one.inbound_ports_excluded) == ((80, 443), (22,))
    assert (one.outbound_ports, one.outbound_ports_excluded) == ((3306,), (25,))
    assert one.outbound_ranges == ("10.0.0.0/8", "fd00::/8")
    assert one.outbound_ranges_excluded == ("10.0.0.1/32",)


@pytest.mark.parametrize("all_of_them", [None, "", "*"])
def test_nothing_said_is_all(all_of_them: str | None):
    one = options.capture((all_of_them,) * 6)
    assert (one.inbound_ports, one.outbound_ranges) == (None, None)
    assert (one.inbound_ports_excluded, one.outbound_ranges_excluded) == ((), ())


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        (0, "0", "'0' is not a port"),
        (1, "80,http", "'http' is not a port"),
        (2, "65536", "'65536' is not a port"),
        (4, "10.0.0.0/33", "'10.0.0.0/33' is not an address or a CIDR"),
        (5, "example.com", "'example.com' is not an address or a CIDR"),
    ],
)
def test_what_is_no_port_or_address_is_named(place: int, text: str, said: str):
    written = [*NOTHING]
    written[place] = text
    with pytest.raises(typer.BadParameter) as caught:
        options.capture(written)
    assert caught.value.message.startswith(said)


def test_a_run_lets_the_group_pass_whatever_the_user():
    one = options.for_run(NOTHING)
    assert (one.uids, one.gids) == ((), (USER,))
    assert one.nameservers


def test_a_tool_that_is_not_known_is_refused():
    with pytest.raises(typer.BadParameter, match="'pf' is not auto, iptables or nft"):
        options.backend("pf")


def test_without_the_capability_it_says_what_is_needed(monkeypatch):
    monkeypatch.setattr(redirect, "may_change", lambda: False)
    with pytest.raises(InterceptFailed, match="root, or the capability NET_ADMIN"):
        redirect.backend("auto")


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        ("auto", (), "neither iptables nor nft is installed"),
        ("nft", ("iptables-restore",), "nft is not installed"),
        ("iptables", ("nft",), "iptables-restore is not installed"),
        # Connections by IPv6 would pass by the sidecar.
        ("iptables", ("iptables-restore", "iptables-save"), "ip6tables-restore is not installed"),
    ],
)
def test_a_tool_that_is_missing_is_named(monkeypatch, wanted, there, said):
    monkeypatch.setattr(redirect, "may_change", lambda: True)
    monkeypatch.setattr(redirect, "has_ipv6", lambda: True)
    monkeypatch.setattr(redirect.shutil, "which", lambda tool: tool if tool in there else None)
    with pytest.raises(InterceptFailed, match=said):
        redirect.backend(wanted)


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("nft",), "nft"),
        (("iptables-restore", "iptables-save", "nft"), "iptables"),
        (("iptables-restore", "nft"), "nft"),
    ],
)
def test_the_tool_is_what_the_host_has(monkeypatch, there, chosen):
    monkeypatch.setattr(redirect, "may_change", lambda: True)
    monkeypatch.setattr(redirect, "has_ipv6", lambda: False)
    monkeypatch.setattr(redirect.shutil, "which", lambda tool: tool if tool in there else None)
    assert redirect.backend("auto") == chosen


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Fatal: can't open lock file: Permission denied", "needs root"),
        (
            "Warning: Extension CT revision 0 not supported, missing kernel module?",
            "lacks a module",
        ),
        ("iptables-restore: line 4 failed", "line 4 failed"),
    ],
)
def test_what_a_tool_says_is_passed_on_with_what_to_do(monkeypatch, said, hint):
    def fails(command, **_more):
        return subprocess.CompletedProcess(command, 1, "", f"{said}\n")

    monkeypatch.setattr(redirect.subprocess, "run", fails)
    monkeypatch.setattr(redirect.shutil, "which", lambda tool: tool)
    with pytest.raises(InterceptFailed) as caught:
        redirect.show()
    assert said in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is looked through the eyes of")
def test_what_the_user_of_the_sidecar_cannot_use_is_named(tmp_path: Path, capfd):
    secret = tmp_path / "key.pem"
    secret.touch(0o600)
    with pytest.raises(typer.Exit):
        options.user_and_group(str(USER), tmp_path / "state", [secret])
    said = capfd.readouterr().err
    assert f"runs as user {USER}, which cannot use" in said
    assert "--intercept-user root" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="as root")
def test_root_stays_root_in_the_group_that_is_let_pass(tmp_path: Path):
    state = tmp_path / "state"
    assert options.user_and_group("root", state, [tmp_path]) == (0, USER)
    assert (state.stat().st_gid, state.stat().st_mode & 0o777) == (USER, 0o700)


def test_a_user_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(typer.BadParameter, match="there is no user nobody-here"):
        options.user_and_group("nobody-here", tmp_path / "state", [])
