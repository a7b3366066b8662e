"""The command line: a file a command. `main` is what the script `meshcore` calls."""


def main() -> None:
    """Runs the command that the arguments of this process name, and exits with its status."""
    from meshcore.cli.app import app  # noqa: PLC0415 - the sidecar's process never needs it

    app.main(prog_name="meshcore")
