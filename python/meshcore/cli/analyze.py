"""`meshcore analyze`."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.exits import Exit
from meshcore.cli.output import Output, OutputOption, write
from meshcore.config import compile_mesh
from meshcore.errors import Diagnostic, Severity, UnreadableSource
from meshcore.sources.file import read

# Codes of texts that are not documents at all.
_NOT_DOCUMENTS = ("MC0001", "MC0002", "MC0003")
_ORDER = (Severity.INFO, Severity.WARNING, Severity.ERROR)


class Threshold(StrEnum):
    """From which severity on findings make the command fail."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def analyze(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="Documents.")],
    output: OutputOption = Output.TABLE,
    failure_threshold: Annotated[
        Threshold,
        typer.Option(
            envvar="MESHCORE_FAILURE_THRESHOLD",
            case_sensitive=False,
            help="Findings of this severity, or a worse one, make the command fail.",
        ),
    ] = Threshold.ERROR,
    suppress: Annotated[
        list[str] | None,
        typer.Option(
            "--suppress", "-S", envvar="MESHCORE_SUPPRESS", metavar="CODE",
            help="Code of findings that are left out; may be repeated.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Find mistakes in documents before they are in force.

    Exit status: 0 nothing found from the threshold on, 79 findings, 65 a text that is no
    document or cannot be read. That there are no documents is a note on standard error.
    """
    findings, has_documents = _findings(paths)
    if not has_documents:
        _note_that_nothing_is_there(paths)
    found = [item for item in findings if item.code not in (suppress or ())]
    if output is Output.TABLE:
        _show(found)
    else:
        write([item.to_json() for item in found], output)
    if any(item.code in _NOT_DOCUMENTS and item.is_refusal for item in found):
        raise typer.Exit(Exit.BAD_DATA)
    least = _ORDER.index(Severity(failure_threshold.value))
    if any(_ORDER.index(item.severity) >= least for item in found):
        raise typer.Exit(Exit.FINDINGS)


def _findings(paths: Sequence[Path]) -> tuple[Sequence[Diagnostic], bool]:
    """Returns what is found, and whether there was anything to look at."""
    try:
        result = compile_mesh(read(paths), revision=1)
    except UnreadableSource as error:
        return error.diagnostics, True
    return result.diagnostics, bool(result.documents or result.diagnostics)


def _note_that_nothing_is_there(paths: Sequence[Path]) -> None:
    where = ", ".join(map(str, paths))
    typer.echo(f"note: no documents in {where}: *.yaml and *.yml files are read", err=True)


def _show(found: Sequence[Diagnostic]) -> None:
    for item in found:
        typer.echo(item.render())
    if not found:
        typer.echo("nothing found")
        return
    counts = [(s, sum(item.severity is s for item in found)) for s in reversed(_ORDER)]
    words = [f"{count} {s.value}{'' if count == 1 else 's'}" for s, count in counts if count]
    typer.echo(", ".join(words))
