"""The process of a plugin: `python -m meshcore.control.plugin_process FILE`.

The sidecar starts it with a connection as its standard input, and says there what to load; this
process says which hooks that has, and then calls them as it is asked. All of it ends with the
sidecar. What the plugin writes to standard output and error becomes lines of the sidecar's log.

Exit status: 0 the sidecar is gone; 65 (EX_DATAERR) the plugin cannot be loaded; 1 nobody asks.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from meshcore.errors import PluginError, PluginRejected
from meshcore.native import PluginConnection, serve_plugin
from meshcore.plugin.registry import load

# The data plane comes first: a plugin that loops takes what is left of the processors. At this
# step it gets a quarter of one that both want. Source: sched(7), `sched_prio_to_weight`.
_NICE = 5
# What Python calls it when a process is about to be copied. Source: its audit events table.
_FORKS = frozenset({"os.fork", "os.forkpty"})


def main() -> int:
    """Loads a plugin and serves its hooks; returns the exit status."""
    # A service manager may tell every process, at the start of a drain which still needs hooks. Not
    # SIG_IGN, which what the plugin starts would inherit.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    connection = _connect()
    os.nice(_NICE)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asked = connection.receive()
    if asked is None:
        return 1
    hello = json.loads(asked)
    source = hello["source"].encode("utf-8", "surrogateescape")
    sys.addaudithook(_refuse_forks)
    try:
        plugin = load(hello["path"], source)
    except PluginRejected as error:
        _say(connection, refused=str(error))
        return os.EX_DATAERR
    hooks = [{"order": hook.order, "model": hook.to_model()} for hook in plugin.hooks]
    _say(connection, hooks, is_isolated=plugin.is_isolated)
    serve_plugin(connection, plugin.hooks)
    return os.EX_OK


def _connect() -> PluginConnection:
    """Takes the connection from where plugins may touch it, and closes what was inherited."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    connection = PluginConnection()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return connection


def _refuse_forks(event: str, arguments: tuple[object, ...]) -> None:
    """A copy of this process would answer the sidecar as well."""
    del arguments
    if event in _FORKS:
        raise PluginError("a plugin cannot fork, its copy would go on as itself: use subprocess")


def _say(
    connection: PluginConnection,
    hooks: Sequence[Mapping[str, object]] = (),
    *,
    is_isolated: bool = False,
    refused: str = "",
) -> None:
    """Tells the sidecar which hooks there are, or why there are none."""
    said = {"hooks": hooks, "is_isolated": is_isolated, "refused": refused}
    connection.send(json.dumps(said).encode())


if __name__ == "__main__":
    sys.exit(main())
