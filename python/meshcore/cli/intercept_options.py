"""Options that say what is redirected to a sidecar, and what they mean together."""

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer

from meshcore.cli.exits import Exit
from meshcore.control import redirect
from meshcore.control.interception.capture import OWN_PORTS, USER, Capture
from meshcore.control.nameservers import nameservers
from meshcore.errors import InterceptFailed

_MAX_PORT = 65535


def _listed(flag: str, metavar: str, text: str, default: str | None = None) -> Any:  # noqa: ANN401 - typer's
    name = flag.removeprefix("--").replace("-", "_").upper()
    name = name if name.startswith("INTERCEPT") else f"INTERCEPT_{name}"
    return typer.Option(
        flag, envvar=f"MESHCORE_{name}", metavar=metavar, help=text, show_default=default or False
    )


def _options(prefix: str) -> tuple[Any, ...]:
    ports, ranges = "PORT,...", "CIDR,..."
    return (
        _listed(f"--{prefix}inbound-ports", ports, "Ports whose callers are redirected.", "all"),
        _listed(f"--{prefix}exclude-inbound-ports", ports, "Ports whose callers are not."),
        _listed(
            f"--{prefix}outbound-ports", ports, "Ports that calls to are redirected in any range."
        ),
        _listed(f"--{prefix}exclude-outbound-ports", ports, "Ports that calls to are not."),
        _listed(
            f"--{prefix}outbound-ranges", ranges, "Addresses that calls to are redirected.", "all"
        ),
        _listed(f"--{prefix}exclude-outbound-ranges", ranges, "Addresses that calls to are not."),
        _listed(
            f"--{prefix}backend", "auto|iptables|nft", "Tool that loads the rules.",
            "what the host has",
        ),
    )  # fmt: skip


_OF_RUN, _ALONE = _options("intercept-"), _options("")
InboundPorts = Annotated[str | None, _OF_RUN[0]]
InboundPortsExcluded = Annotated[str | None, _OF_RUN[1]]
OutboundPorts = Annotated[str | None, _OF_RUN[2]]
OutboundPortsExcluded = Annotated[str | None, _OF_RUN[3]]
OutboundRanges = Annotated[str | None, _OF_RUN[4]]
OutboundRangesExcluded = Annotated[str | None, _OF_RUN[5]]
Backend = Annotated[str, _OF_RUN[6]]
InboundPortsAlone = Annotated[str | None, _ALONE[0]]
InboundPortsExcludedAlone = Annotated[str | None, _ALONE[1]]
OutboundPortsAlone = Annotated[str | None, _ALONE[2]]
OutboundPortsExcludedAlone = Annotated[str | None, _ALONE[3]]
OutboundRangesAlone = Annotated[str | None, _ALONE[4]]
OutboundRangesExcludedAlone = Annotated[str | None, _ALONE[5]]
BackendAlone = Annotated[str, _ALONE[6]]
Intercept = Annotated[
    bool,
    typer.Option(
        "--intercept",
        envvar="MESHCORE_INTERCEPT",
        help="Redirect the workload's connections to the sidecar (Linux, root).",
    ),
]
Intercepted = Annotated[
    bool,
    typer.Option(
        "--intercepted",
        envvar="MESHCORE_INTERCEPTED",
        help="They are redirected already, by `meshcore intercept apply`.",
    ),
]
Dns = Annotated[
    bool | None,
    typer.Option(
        envvar="MESHCORE_DNS",
        help="Answer names of the mesh by DNS.",
        show_default="with interception",
    ),
]
User = Annotated[
    str,
    typer.Option(
        envvar="MESHCORE_INTERCEPT_USER",
        metavar="USER",
        help="User that the sidecar runs as; the group 1337 tells its connections apart.",
    ),
]


def capture(written: Sequence[str | None], **more: Any) -> Capture:  # noqa: ANN401 - fields
    """Returns what the six lists say, in the order of the options; exits when one is wrong."""
    texts = [None if text in {None, "", "*"} else text for text in written]
    inbound, not_inbound, outbound, not_outbound = (_ports(text) for text in texts[:4])
    ranges, not_ranges = (_ranges(text) for text in texts[4:])
    return Capture(
        inbound_ports=inbound,
        inbound_ports_excluded=not_inbound or (),
        outbound_ports=outbound or (),
        outbound_ports_excluded=not_outbound or (),
        outbound_ranges=ranges,
        outbound_ranges_excluded=not_ranges or (),
        **more,
    )


def backend(wanted: str) -> redirect.Backend:
    """Returns the tool to use; exits when there is none, or it may not be used."""
    if wanted not in {"auto", "iptables", "nft"}:
        raise typer.BadParameter(f"{wanted!r} is not auto, iptables or nft", param_hint="--backend")
    try:
        return redirect.backend(wanted)
    except InterceptFailed as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.FAILED) from error


def for_supervisor(
    written: Sequence[str | None], tool: str, runs: tuple[str, Path, Sequence[Path]]
) -> dict[str, object]:
    """Returns what a supervisor has to know to redirect connections to its sidecar.

    Exits when that cannot be done. `runs` is the user of the sidecar, its state directory, and
    the files that it reads. The ports of the sidecar are found out later.
    """
    wanted = for_run(written)
    by = backend(tool)
    return {"user": user_and_group(*runs), "backend": by, "capture": wanted.to_dict()}


def for_run(written: Sequence[str | None]) -> Capture:
    """Returns what `meshcore run` captures."""
    return capture(
        written, uids=(), gids=(USER,), own_ports=OWN_PORTS, nameservers=tuple(nameservers())
    )


def user_and_group(name: str, state: Path, files: Sequence[Path]) -> tuple[int, int]:
    """Returns the user of the sidecar, and the group that tells its connections apart.

    Exits when that user cannot read what the sidecar needs.
    """
    if USER in {*os.getgroups(), os.getgid()}:
        hint = f"this process is in the group {USER}, which is let pass: the application would be"
        raise typer.BadParameter(hint, param_hint="--intercept")
    uid = _uid(name)
    if not state.exists():
        state.mkdir(mode=0o700, parents=True)
        os.chown(state, uid, USER)
    missing = _unreadable(uid, state, files)
    if missing:
        typer.echo(
            f"error: the sidecar runs as user {name}, which cannot use {missing}: let it, or keep"
            " the user with --intercept-user root",
            err=True,
        )
        raise typer.Exit(Exit.FAILED)
    return uid, USER


def _uid(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise typer.BadParameter(
            f"there is no user {name}", param_hint="--intercept-user"
        ) from error


_LOOK = """
import os, sys
import meshcore.cli.serve
state, *files = sys.argv[1:]
if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
    print(state)
for path in files:
    if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
        print(path)
"""


def _unreadable(uid: int, state: Path, files: Sequence[Path]) -> str:
    """Returns what a user cannot use; empty when it can use all."""
    command = [sys.executable, "-P", "-c", _LOOK, str(state), *map(str, files)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, user=uid, group=USER, extra_groups=[], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except PermissionError:
        return sys.executable
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it cannot be started"]
        return f"meshcore ({lines[-1]})"
    return ", ".join(done.stdout.split("\n")[:-1])


def _ports(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdecimal() and 0 < int(word) <= _MAX_PORT):
            raise typer.BadParameter(f"{word!r} is not a port: write PORT,PORT or *")
    return tuple(dict.fromkeys(int(word) for word in words))


def _ranges(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    return tuple(dict.fromkeys(_range(word) for word in words))


def _range(word: str) -> str:
    try:
        return str(ip_network(word, strict=False))
    except ValueError as error:
        hint = f"{word!r} is not an address or a CIDR: write CIDR,CIDR or *"
        raise typer.BadParameter(hint) from error
