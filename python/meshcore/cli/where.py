"""Where a mesh's documents and its state are, if nothing is said."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.exits import Exit

# What is taken for the mesh when nothing is said.
DEFAULT_MESHES = ("mesh.yaml", "mesh")

MeshOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_MESH",
        exists=True,
        help="File or directory of documents.",
        show_default="mesh.yaml or mesh/",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_STATE",
        file_okay=False,
        help="Directory for the last good state and the development authority.",
        show_default=".meshcore beside the documents",
    ),
]
ControlStateOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_CONTROL_STATE",
        file_okay=False,
        help="State directory of the control plane.",
        show_default=".meshcore/control beside the documents",
    ),
]


def mesh_of(given: Path | None) -> Path:
    """Returns the file or directory of documents; exits if there is none."""
    candidates = [given] if given else [Path(name) for name in DEFAULT_MESHES]
    for path in candidates:
        if path.exists():
            return path.absolute()
    typer.echo("error: there is no mesh.yaml and no mesh/ here: say --mesh", err=True)
    raise typer.Exit(Exit.USAGE)


def state_of(mesh: Path, given: Path | None = None) -> Path:
    """Returns the directory that belongs to a mesh's documents."""
    if given:
        return given.absolute()
    return (mesh if mesh.is_dir() else mesh.parent) / ".meshcore"


def plane_state_of(mesh: Path, given: Path | None = None) -> Path:
    """Returns the directory that belongs to the control plane of a mesh."""
    return given.absolute() if given else state_of(mesh) / "control"


def control_state_of(given: Path | None) -> str:
    """Returns the state directory of a control plane; exits if nothing says where it is."""
    return str(given.absolute() if given else plane_state_of(mesh_of(None)))
