"""Asks the compiling child for a mesh, and reads its answer without reading the mesh."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from meshcore.control.settings import Settings
from meshcore.errors import ConfigError, Diagnostic, Severity

if TYPE_CHECKING:
    from meshcore.control.prepare import Head

# Longest that a child may take. Ten thousand services take five seconds.
WITHIN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Prepared:
    """A mesh that is ready for the data plane."""

    answer: bytes
    """What the child wrote, for the disk."""
    head: "Head"
    mesh: bytes
    """The mesh as JSON."""

    @property
    def revision(self) -> int:
        """Its number."""
        return self.head["revision"]

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What was found and does not refuse it."""
        return [_diagnostic(item) for item in self.head["diagnostics"]]


class Refused(ConfigError):
    """Documents that cannot be put in force, with the number they would have had."""

    def __init__(self, revision: int, diagnostics: list[Diagnostic]) -> None:
        self.revision = revision
        super().__init__(diagnostics)


class Child:
    """A child process that is compiling."""

    def __init__(
        self,
        settings: Settings,
        above: int = 0,
        in_force: str | None = None,
        *,
        is_new: bool = False,
    ) -> None:
        """Starts it; the caller may do something else meanwhile.

        Args:
            settings: What to compile for whom.
            above: The revision that is in force, if any.
            in_force: The file of what is in force, to compare with.
            is_new: Whether the revision must be greater than `above`, although the documents may
                be the same.

        Raises:
            Refused: It cannot be started.
        """
        request = {
            "mesh": settings.mesh,
            "state": settings.state,
            "wanted": asdict(settings.wanted),
            "access_log": settings.access_log,
            "above": above,
            "in_force": in_force,
            "is_new": is_new,
            "allow_shrink": settings.allow_shrink,
        }
        self._mesh, self._above = settings.mesh, above
        self._request = json.dumps(request).encode()
        try:
            # A group of its own: Ctrl-C is the sidecar's business.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "meshcore.control.prepare"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYDANTIC_DISABLE_PLUGINS": "1"},  # noqa: TID251 - handed on
                process_group=0,
            )
        except OSError as error:
            raise self._failed(str(error)) from error

    def prepared(self) -> Prepared:
        """Returns its answer when it is there.

        Raises:
            Refused: The documents are wrong, or the child failed.
        """
        try:
            answer, _ = self._process.communicate(self._request, WITHIN_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.communicate()
            raise self._failed(f"not done within {WITHIN_SECONDS} s") from error
        try:
            prepared = read(answer)
        except ValueError as error:
            raise self._failed(f"exit status {self._process.returncode}") from error
        if prepared.mesh == b"null":
            raise Refused(prepared.revision, prepared.diagnostics)
        return prepared

    def _failed(self, why: str) -> Refused:
        message = f"the documents could not be compiled: {why}"
        found = Diagnostic(Severity.ERROR, "MC0302", message, file=self._mesh)
        return Refused(self._above + 1, [found])


def read(answer: bytes) -> Prepared:
    """Returns what a child wrote, which may be on disk since.

    Raises:
        ValueError: It is not whole.
    """
    head_line, _, rest = answer.partition(b"\n")
    mesh, newline, _ = rest.partition(b"\n")
    if not newline:
        raise ValueError("the answer is cut off")
    return Prepared(answer, json.loads(head_line), mesh)


def _diagnostic(raw: Mapping[str, Any]) -> Diagnostic:
    fields = dict(raw)
    return Diagnostic(severity=Severity(fields.pop("severity")), **fields)
