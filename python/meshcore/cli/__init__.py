"""The command line: a file a command. `main` is what the script `meshcore` calls."""

import sys


def main() -> None:
    """Runs the command that the arguments of this process name, and exits with its status."""
    if sys.argv[1:] in (["version"], ["--version"]):
        # Scripts ask this often, and need not wait for what reads options.
        from meshcore.cli.about import about  # noqa: PLC0415 - the sidecar never needs it

        sys.stdout.write(about() + "\n")
        return
    from meshcore.cli.app import app  # noqa: PLC0415 - as above

    app.main(prog_name="meshcore")
