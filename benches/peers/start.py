"""Starts the proxies of a row."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benches.peers.processes import PROXY_PROCESSOR, free_port, wait_for
from benches.peers.processes import started as run
from benches.peers.proxies import Setting
from benches.peers.scenario import Row, Running


@contextmanager
def started(row: Row, base: Setting, *, is_pinned: bool = True) -> Iterator[Running]:
    """Runs the proxies of a row inside the block, each in front of the one before.

    Args:
        row: The proxies.
        base: The origin, the certificates and the directory for those of the proxies.
        is_pinned: On one processor, all of them.

    Raises:
        SystemExit: One does not start; it tells its log.
    """
    processor = PROXY_PROCESSOR if is_pinned else None
    began, processes, setting = time.monotonic(), [], base
    with ExitStack() as stack:
        for step in row:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base.directory)))
            directory.chmod(0o755)
            here = {"directory": directory, "port": free_port(), **step.does}
            here["origin"] = setting.port or base.origin
            setting = replace(base, **here)
            log = directory / "log"
            with log.open("wb") as opened:
                process = run(step.proxy(setting), opened, processor)
                processes.append(stack.enter_context(process))
            try:
                wait_for(setting.port, processes[-1])
            except SystemExit as error:
                raise SystemExit(f"{error}:\n{log.read_text()}") from error
        yield Running(setting, tuple(processes), began)
