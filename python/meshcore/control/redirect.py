"""Puts redirections into the kernel, and takes them out again, by the tools of the host."""

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from meshcore.control.interception import iptables, nftables
from meshcore.control.interception.capture import Capture, Family
from meshcore.errors import InterceptFailed

Backend = Literal["iptables", "nft"]

_PREFIX: dict[Family, str] = {"ipv4": "iptables", "ipv6": "ip6tables"}
# How long another program may hold the lock of the tables.
_LOCK_SECONDS = "10"
_TOOL_SECONDS = 30.0
# Bit of CAP_NET_ADMIN. Source: linux/capability.h.
_NET_ADMIN = 12
# ioctl numbers for an address of an interface. Source: linux/sockios.h.
_SET_ADDRESS, _DELETE_ADDRESS = 0x8916, 0x8936
# Our connections to an application by IPv6 come from here: `TO_APPLICATION` in `dial.rs`.
_TO_APPLICATION = "::6"


def has_ipv6() -> bool:
    """Whether this host has an address of IPv6, at least that of its loopback interface."""
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as file:  # noqa: PTH123 - is no file
            return bool(file.read(1))
    except OSError:
        return False


def backend(wanted: str) -> Backend:
    """Returns the tool to use: the one that is wanted, or that the host has for `auto`.

    Raises:
        InterceptFailed: It is not installed, or this process may not change the rules.
    """
    if not may_change():
        raise InterceptFailed(
            "interception needs root, or the capability NET_ADMIN: run it with sudo, or give the"
            " container cap_add: [NET_ADMIN]"
        )
    if wanted in {"auto", "iptables"}:
        missing = [tool for tool in _iptables_tools() if shutil.which(tool) is None]
        if not missing:
            return "iptables"
        if wanted == "iptables":
            raise InterceptFailed(f"{missing[0]} is not installed: add the package iptables")
    if shutil.which("nft") is not None:
        return "nft"
    what = "nft is not" if wanted == "nft" else "neither iptables nor nft is"
    raise InterceptFailed(f"{what} installed: add the package iptables or nftables")


def may_change() -> bool:
    """Whether this process may change the rules of its network namespace: on Linux alone."""
    if not os.path.exists("/proc/self/status"):  # noqa: PTH110 - is no file
        raise InterceptFailed("connections are redirected by Linux, which this is not")
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - is no file
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", file.read(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _NET_ADMIN & 1)


def apply(capture: Capture, by: Backend) -> None:
    """Puts the capture in force, in place of another one of ours.

    Raises:
        InterceptFailed: Somebody else's capture is in force, or the kernel refuses the rules.
            What of ours was in force before stays, else there is nothing.
    """
    for family in _families():
        if by == "iptables" or shutil.which(f"{_PREFIX[family]}-save"):
            _refuse_foreign(_saved(family))
    was_in_force = bool(show())
    try:
        if by == "iptables":
            for family in _families():
                _restore(family, iptables.restore(capture, family, _saved(family)))
            _clear_nft()
        else:
            _run(["nft", "-f", "-"], nftables.ruleset(capture))
            _clear_iptables()
        _own_address(_SET_ADDRESS)
    except InterceptFailed:
        if not was_in_force:
            clear()
        raise


def clear() -> bool:
    """Takes out all that is ours, whichever tool put it in; whether there was something.

    Raises:
        InterceptFailed: The kernel refuses.
    """
    cleared = [_clear_iptables(), _clear_nft()]
    if any(cleared):
        with suppress(InterceptFailed):  # nothing comes from it any more
            _own_address(_DELETE_ADDRESS)
    return any(cleared)


def show() -> str:
    """Returns what is in force of ours, as the tools write it; empty when there is nothing."""
    parts: list[str] = []
    for family in _families():
        if shutil.which(f"{_PREFIX[family]}-save"):
            lines = iptables.ours(_saved(family))
            parts += [f"# {_PREFIX[family]}", *lines] if lines else []
    if _has_nft_table():
        parts += ["# nft", _run(["nft", "list", "table", *nftables.TABLE.split()]).rstrip()]
    return "\n".join(parts)


def preview(capture: Capture, by: Backend) -> str:
    """Returns what `apply` would load where there is nothing of ours."""
    if by == "nft":
        return nftables.ruleset(capture)
    return "".join(
        f"# {_PREFIX[family]}-restore --noflush\n{iptables.restore(capture, family, '')}"
        for family in _families()
    )


def _families() -> list[Family]:
    return ["ipv4", "ipv6"] if has_ipv6() else ["ipv4"]


def _iptables_tools() -> Iterable[str]:
    # Without those for IPv6 its connections would pass by the sidecar.
    return [f"{_PREFIX[family]}-{verb}" for family in _families() for verb in ("restore", "save")]


def _refuse_foreign(saved: str) -> None:
    if rules := iptables.foreign(saved):
        raise InterceptFailed(
            f"another program captures this traffic: {rules[0]!r}; take its rules out first"
            " (istio-clean-iptables for Istio's)"
        )


def _restore(family: Family, text: str) -> None:
    _run([f"{_PREFIX[family]}-restore", "--noflush", "--wait", _LOCK_SECONDS], text)


def _saved(family: Family) -> str:
    # Only our tables: to list others may load modules that nobody uses.
    said = [_run([f"{_PREFIX[family]}-save", "-t", table]) for table in iptables.CHAINS]
    return "".join(said)


def _clear_iptables() -> bool:
    is_any = False
    for family in _families():
        if shutil.which(f"{_PREFIX[family]}-save") is None:
            continue
        if text := iptables.clear(_saved(family)):
            _restore(family, text)
            is_any = True
    return is_any


def _clear_nft() -> bool:
    if not _has_nft_table():
        return False
    _run(["nft", "-f", "-"], nftables.clear() + "\n")
    return True


def _has_nft_table() -> bool:
    if shutil.which("nft") is None:
        return False
    return f"table {nftables.TABLE}" in _run(["nft", "list", "tables"]).splitlines()


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs
            command, input=text, capture_output=True, text=True, check=False,
            timeout=_TOOL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterceptFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise InterceptFailed(_refusal(command[0], done.stderr))
    return done.stdout


def _refusal(tool: str, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = lines[0] if lines else "it failed without a word"
    text = said.lower()
    if "permitted" in text or "permission denied" in text:
        return f"{tool}: {first}; interception needs root, or the capability NET_ADMIN"
    missing = ("no such file", "no chain/target/match", "does not exist", "not supported",
               "extension", "can't initialize")  # fmt: skip
    if any(word in text for word in missing):
        return (
            f"{tool}: {first}; the kernel lacks a module: it needs nf_nat, xt_REDIRECT, xt_owner,"
            " xt_multiport, xt_comment, and xt_CT for DNS (nft_redir, nft_ct for nft)"
        )
    return f"{tool}: {first}"


def _own_address(number: int) -> None:
    """Gives the loopback interface the address that connections to the application come from."""
    if not has_ipv6():
        return
    address = socket.inet_pton(socket.AF_INET6, _TO_APPLICATION)
    wanted = struct.pack("=16sIi", address, 128, socket.if_nametoindex("lo"))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as channel:
        try:
            fcntl.ioctl(channel, number, wanted)
        except FileExistsError:
            pass
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise InterceptFailed(f"{_TO_APPLICATION} on lo: {why}") from error
