"""Every exception of meshcore, and the diagnostics they carry.

MeshcoreError
├── ConfigError            documents are wrong; carries diagnostics with positions
│   └── UnreadableSource   a file or directory cannot be read as configuration
├── InvalidUnit            a quantity without a unit, or with one that is not known
├── SnapshotRejected       the data plane refused resources; what was in force stays
├── StaleRevision          something newer is in force already
├── NativeError            the data plane failed, or was asked for what it cannot do
│   ├── StartFailed        the data plane does not start; nothing listens
│   └── Unreachable        the control plane does not answer; try again later
├── CertificateError       a certificate, key, request or trust bundle cannot be used
├── PluginError            a plugin is wrong
│   └── PluginRejected     a plugin file cannot be loaded; the generation before stays
├── UndeclaredAttribute    a hook reads what it did not declare
└── RequestGone            a hook's request was used after the hook had returned
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Most characters of a source line that are shown; longer ones are cut around the caret.
SHOWN_COLUMNS = 100


class Severity(StrEnum):
    """How bad a diagnostic is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a document, with its place."""

    severity: Severity
    code: str
    """`ISTnnnn` where istioctl has a message of the same meaning, else `MCnnnn`."""
    message: str
    origin: str = ""
    """The document, as `Kind namespace/name`; empty when it is not known."""
    file: str = ""
    line: int = 0
    """Counted from 1; 0 when there is no place."""
    column: int = 0
    """Counted from 1; 0 when there is no place."""
    source_line: str = ""
    hint: str = ""
    blocks: bool = True
    """Whether an error refuses the whole change, rather than only saying what is wrong."""

    @property
    def is_refusal(self) -> bool:
        """Whether nothing may be put in force because of this."""
        return self.severity is Severity.ERROR and self.blocks

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else ""
        place = place or (f"{self.file}: " if self.file else "")
        origin = f" ({self.origin})" if self.origin else ""
        return _escaped(f"{place}{self.severity.value}[{self.code}]: {self.message}{origin}")

    def render(self) -> str:
        """Returns the finding for a terminal: with its line, a caret, and what to do."""
        lines = [str(self)]
        if self.line and self.source_line.strip():
            shown, caret = _window(self.source_line, self.column)
            gutter = f"{self.line:>5} | "
            lines += [gutter + shown, " " * (len(gutter) - 2) + "| " + " " * caret + "^"]
        if self.hint:
            lines.append(_escaped(f"      = help: {self.hint}"))
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Returns the finding as plain data, with the names of the fields."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "origin": self.origin,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "source_line": self.source_line,
            "hint": self.hint,
            "blocks": self.is_refusal,
        }


class MeshcoreError(Exception):
    """Root of all exceptions that meshcore raises on purpose."""


class ConfigError(MeshcoreError):
    """Documents that cannot be put in force; says everything that is wrong with them."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(item.render() for item in self.diagnostics))


class UnreadableSource(ConfigError):
    """A file or directory that cannot be read as configuration."""


class InvalidUnit(MeshcoreError, ValueError):
    """A quantity without a unit, or with one that is not known."""


class SnapshotRejected(MeshcoreError):
    """The data plane refused the resources; what was in force stays in force."""


class StaleRevision(MeshcoreError):
    """The revision offered is not newer than the one in force; nothing has changed."""

    def __init__(self, offered: int, in_force: int) -> None:
        self.offered = offered
        self.in_force = in_force
        super().__init__(f"revision {offered} is not newer than {in_force}, which is in force")


class NativeError(MeshcoreError):
    """The data plane failed, or was asked for what it cannot do."""


class StartFailed(NativeError):
    """The data plane does not start; nothing listens."""


class InterceptFailed(MeshcoreError):
    """Connections cannot be redirected to a sidecar, or no more be left alone."""


class Unreachable(NativeError):
    """The control plane does not answer, or not in time; try again later."""


class CertificateError(MeshcoreError):
    """A certificate, key, certificate request or trust bundle that cannot be used."""


class PluginError(MeshcoreError):
    """A plugin is wrong: an option, a signature, or a value that it made."""


class PluginRejected(PluginError):
    """A plugin file that cannot be loaded; the generation before it stays in force."""


class UndeclaredAttribute(MeshcoreError):
    """A hook reads an attribute that its `reads=` does not declare."""


class RequestGone(MeshcoreError):
    """A request was used after the hook that it was given to had returned."""


def _escaped(text: str) -> str:
    """Returns `text` as one line that does nothing to a terminal: it may quote a document."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _window(line: str, column: int) -> tuple[str, int]:
    """Returns the part of `line` around `column`, free of control characters, and the caret."""
    caret = max(column - 1, 0)
    start = 0 if caret < SHOWN_COLUMNS - 20 else caret - SHOWN_COLUMNS // 2
    part = line[start : start + SHOWN_COLUMNS]
    shown = "".join(c if c.isprintable() else " " for c in part).rstrip()
    lead, tail = "..." if start else "", "..." if start + SHOWN_COLUMNS < len(line) else ""
    return lead + shown + tail, len(lead) + caret - start
