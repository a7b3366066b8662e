"""What was found, in bounded number: nobody reads more, and a hostile file could make millions."""

from collections.abc import Iterable
from typing import Self

from meshcore.errors import Diagnostic, Severity

# Most findings that refuse, and most others, that are kept of one change.
MAX_FINDINGS = 1_000


class Findings(list[Diagnostic]):
    """A list that takes so many findings, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out = 0
        self._left_by_refusal = {True: MAX_FINDINGS, False: MAX_FINDINGS}

    @property
    def is_refused(self) -> bool:
        """Whether any finding refuses the change, kept or not."""
        return self._left_by_refusal[True] < MAX_FINDINGS

    @property
    def is_full(self) -> bool:
        """Whether enough is wrong, so that looking further is of no use."""
        return self._left_by_refusal[True] <= 0

    def append(self, finding: Diagnostic, /) -> None:
        if self._left_by_refusal[finding.is_refusal] > 0:
            self._left_by_refusal[finding.is_refusal] -= 1
            super().append(finding)
        else:
            self.left_out += 1

    def extend(self, findings: Iterable[Diagnostic], /) -> None:
        if isinstance(findings, Findings):
            self.left_out += findings.left_out
        for finding in findings:
            self.append(finding)

    def __iadd__(self, findings: Iterable[Diagnostic], /) -> Self:  # type: ignore[misc,override]
        self.extend(findings)
        return self

    def summary(self) -> list[Diagnostic]:
        """Returns a last finding that says how many are not shown, if any are not."""
        if not self.left_out and not self.is_full:
            return []
        message = f"more was found than is shown here: at least {self.left_out} more"
        hint = "mend what is shown first"
        return [Diagnostic(Severity.INFO, "MC0004", message, hint=hint)]
