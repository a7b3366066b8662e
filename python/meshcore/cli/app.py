"""The list of commands. Each is imported when it is called, so that help and version are fast."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# Module below `meshcore.cli` and what it does. Its function, or its `app` of sub-commands, has
# the name of the module.
COMMANDS = {
    "demo": "Show a whole mesh on this machine, with a tour.",
    "run": "Run a sidecar beside a service.",
    "control": "Run the control plane of a mesh.",
    "analyze": "Find mistakes in documents before they are in force.",
    "expand": "Show the Istio documents that a short form stands for.",
    "status": "Show the sidecars of a mesh: state, revision, refusals, certificates.",
    "intercept": "Redirect the connections of this host, or container, to a sidecar.",
    "graph": "Show who calls whom: rate, errors, latency, identities, denials.",
    "cert": "Make and show certificates of the development authority; rotate a mesh's root.",
    "token": "Make, list and revoke tokens, with which sidecars join a control plane.",
    "version": "Show the version.",
}

# A plain terminal is enough: rich takes 70 ms and 8 MB to import.
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "add_completion": False}


class Commands(TyperGroup):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Returns the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override] # noqa: ANN401 - typer's own class of commands
        """Imports the command `cmd_name`; `None` if there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"meshcore.cli.{cmd_name}"), cmd_name)
        return _command(found, cmd_name)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override] # noqa: ANN401 - as above
        """Writes the table, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _command(found: typer.Typer | Callable[..., object], name: str) -> object:
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(**PLAIN)
    # Options end where the application's command begins, with or without `--`.
    alone.command(name, context_settings={"allow_interspersed_args": name != "run"})(found)
    return typer.main.get_command(alone)


def _meshcore() -> None:
    """A service mesh in a Python package: Rust moves bytes, Python says what is wanted.

    Exit status: 0 done, 1 failed, 2 wrong options, 3 not ready, 4 not found, 65 bad documents,
    79 findings, 130 interrupted.
    """


_typer = typer.Typer(cls=Commands, no_args_is_help=True, **PLAIN)
_typer.callback()(_meshcore)
app = typer.main.get_command(_typer)
