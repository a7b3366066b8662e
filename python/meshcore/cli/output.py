"""What reading commands print: a table for people, JSON or YAML for programs."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """A form of output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", envvar="MESHCORE_OUTPUT", help="Form of the output.")
]


def write(value: object, output: Output) -> None:
    """Writes a value as JSON or YAML."""
    if output is Output.YAML:
        import yaml  # noqa: PLC0415 - slow to import, and seldom asked for

        yaml.safe_dump(value, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of aligned columns without lines, which tools can cut."""
    lines = [[name.upper() for name in head], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
