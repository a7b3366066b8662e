"""The options of `meshcore run` that say how the process runs, logs and ends."""

import os
from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.times import duration_option

# Threads that carry requests at most, if nothing is said. Source: Istio's `concurrency`.
_WORKERS = 2

Concurrency = Annotated[
    int | None,
    typer.Option(
        envvar="MESHCORE_CONCURRENCY",
        min=1,
        max=1024,
        help="Threads that carry requests.",
        show_default="processors, at most 2",
    ),
]
Drain = Annotated[
    str,
    typer.Option(
        envvar="MESHCORE_DRAIN",
        callback=duration_option,
        metavar="DURATION",
        help="How long requests may go on when it ends.",
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        envvar="MESHCORE_PLUGIN",
        exists=True,
        dir_okay=False,
        help="Python file with hooks; may be repeated.",
    ),
]
IsolatePlugins = Annotated[
    bool,
    typer.Option(
        "--isolate-plugins",
        envvar="MESHCORE_ISOLATE_PLUGINS",
        help="Run each plugin in a process of its own.",
    ),
]
AccessLog = Annotated[
    str | None,
    typer.Option(
        envvar="MESHCORE_ACCESS_LOG",
        metavar="text|json|FILE",
        help="Access log to standard output, or to a file.",
        show_default="what the mesh says",
    ),
]
AllowShrink = Annotated[
    bool,
    typer.Option(
        "--allow-shrink",
        envvar="MESHCORE_ALLOW_SHRINK",
        help="Apply changes that remove most services or policies without confirmation.",
    ),
]
SetHttpProxy = Annotated[
    bool,
    typer.Option(
        "--set-http-proxy",
        envvar="MESHCORE_SET_HTTP_PROXY",
        help="Set http_proxy for the application, so that its calls go through the mesh.",
    ),
]
ReadyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_READY_FILE",
        dir_okay=False,
        help="File that is written (JSON) when requests are taken.",
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(envvar="MESHCORE_LOG_LEVEL", metavar="debug|info|warning|error", help="Log."),
]
Takeover = Annotated[
    bool,
    typer.Option(
        "--takeover",
        envvar="MESHCORE_TAKEOVER",
        help="Take the sockets over from the running sidecar of this workload, which drains.",
    ),
]
Supervise = Annotated[
    bool,
    typer.Option(
        "--supervise",
        envvar="MESHCORE_SUPERVISE",
        help="Start the sidecar again when its process dies; the application goes on.",
    ),
]


def access_log_of(text: str | None) -> str | None:
    """Returns the format of what goes to standard output, or the path of a file."""
    return text if text in {None, "text", "json"} else str(Path(text or "").absolute())


def log_level_of(text: str) -> str:
    """Returns the level.

    Raises:
        BadParameter: There is no such level.
    """
    if text not in {"debug", "info", "warning", "error"}:
        raise typer.BadParameter(f"{text!r} is not a level", param_hint="--log-level")
    return text


def workers_of(concurrency: int | None) -> int:
    """Returns how many threads carry requests."""
    return concurrency or min(_WORKERS, _processors())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
