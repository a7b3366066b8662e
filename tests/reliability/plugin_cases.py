"""Plugins that misbehave, each in one way. Source: reliability's class D8, and three of our own.

Each is the body of a plugin file whose hook `bad` is asked about every request to its path.
"""

from dataclasses import dataclass

# What the hooks may take; the answer has to be there 10 ms later.
TIMEOUT_MS = 50

HEAD = """
import asyncio, ctypes, os, re, signal, socket, sys, threading, time
from meshcore.plugin import *
"""
HOOK = '@authorize(timeout="{timeout}ms", match={{"paths": ["/{name}"]}}{isolate})\n'


@dataclass(frozen=True)
class Case:
    """A plugin that misbehaves."""

    name: str
    source: str
    kills: bool = False
    """Whether it takes its process with it, so that it can only be survived in one of its own."""
    holds: bool = False
    """Whether it keeps the interpreter from everybody else for seconds."""
    may_decide: bool = False
    """Whether its decision may come in time, now and then."""

    def plugin(self, *, isolate: bool) -> str:
        """Returns the plugin file."""
        asks = ', isolate="process"' if isolate else ""
        hook = HOOK.format(timeout=TIMEOUT_MS, name=self.name, isolate=asks)
        return HEAD + self.source.replace("HOOK\n", hook)


_ALL = [
    Case("raises", "HOOK\ndef bad(request): raise ValueError('no')"),
    Case("junk", "HOOK\ndef bad(request): return 'allow'"),
    Case("loops", "HOOK\ndef bad(request):\n    while True: pass"),
    Case("sleeps", "HOOK\ndef bad(request): time.sleep(3600)"),
    Case(
        "holds-the-interpreter",
        "usleep = ctypes.PyDLL(None).usleep\nHOOK\ndef bad(request): usleep(10_000_000)",
        holds=True,
    ),
    Case(
        "regular-expression",
        "HOOK\ndef bad(request): return allow() if re.match('(a+)+$', 'a' * 64 + 'b') else deny()",
        holds=True,
    ),
    Case(
        "leaks",
        "kept = []\nHOOK\ndef bad(request):\n    kept.append(b'x' * (1 << 17))\n    raise ValueError",
    ),
    Case("forks", "HOOK\ndef bad(request):\n    os.fork()\n    return allow()"),
    Case("leaves", "HOOK\ndef bad(request): sys.exit(3)"),
    Case("ends-the-process", "HOOK\ndef bad(request): os._exit(3)", kills=True),
    Case("crashes", "HOOK\ndef bad(request): ctypes.string_at(0)", kills=True),
    Case(
        "threads",
        """
def spin():
    until = time.monotonic() + 2
    while time.monotonic() < until: pass
HOOK
def bad(request):
    if threading.active_count() < 30: threading.Thread(target=spin, daemon=True).start()
    return allow()
""",
        may_decide=True,
    ),
    Case(
        "monkeypatches",
        """
import builtins, json, logging
from meshcore.plugin import decisions
def broken(*_, **__): raise RuntimeError('patched')
HOOK
def bad(request):
    json.dumps = json.loads = builtins.open = os.path.join = time.time = broken
    logging.Logger.handle = logging.Formatter.format = broken
    decisions.is_token = decisions._is_printable = lambda text: True
    decisions.FRAMING = ()
    return allow(set_headers={'transfer-encoding': 'chunked', 'content-length': '5'})
""",
    ),
    Case("recurses", "HOOK\ndef bad(request): return bad(request)"),
    Case(
        "answers-too-much",
        "HOOK\ndef bad(request): return allow(set_headers={'x-much': 'x' * 2_000_000})",
    ),
    Case(
        "floods-the-log",
        """
HOOK
def bad(request):
    for _ in range(10): print('x' * 200, file=sys.stderr)
""",
    ),
    Case("stops-itself", "HOOK\ndef bad(request): os.kill(os.getpid(), signal.SIGSTOP)", kills=True),
    Case("closes-descriptors", "HOOK\ndef bad(request): os.closerange(0, 64)", kills=True),
    Case(
        "writes-to-the-connection",
        """
HOOK
def bad(request):
    for number in range(64):
        try: os.write(number, b'\\x09\\0\\0\\0' + b'j' * 9)
        except OSError: pass
""",
        kills=True,
    ),
]  # fmt: skip

CASES = {case.name: case for case in _ALL}
