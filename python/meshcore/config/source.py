"""Text that somebody else has read: this room does no I/O."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property

from meshcore.errors import Diagnostic, Severity

# Largest source. Source: ten times what etcd stores as one object (1.5 MiB), rounded up.
MAX_SOURCE_BYTES = 16 * 1024 * 1024
# What text with secrets has, however it is written; other text may have it too.
_SECRET = re.compile(
    r"kind\b[^\n]{0,200}\n?[^\n]{0,200}secret\b|private key|tls\.key", re.IGNORECASE
)


@dataclass(frozen=True)
class Source:
    """A named text of YAML documents."""

    name: str
    """What diagnostics call it: the path of the file."""
    data: str | bytes = field(repr=False)

    @cached_property
    def text(self) -> str:
        """The text.

        Raises:
            UnicodeDecodeError: The data is not UTF-8.
        """
        return self.data if isinstance(self.data, str) else self.data.decode("utf-8-sig")

    @cached_property
    def digest(self) -> bytes:
        """A number of its name and text, which no other has."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.name, self.data):
            # The name of a file may be any bytes, which Python writes as surrogates.
            data = part if isinstance(part, bytes) else part.encode(errors="surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()

    @cached_property
    def _lines(self) -> list[str]:
        """The lines, none where one of them may be a key: what is wrong is shown to people."""
        return [] if _SECRET.search(self.text) else self.text.split("\n")

    def line(self, number: int) -> str:
        """Returns line `number` (from 1), or nothing when there is no such line."""
        if not 1 <= number <= len(self._lines):
            return ""
        return self._lines[number - 1].rstrip("\r")

    def diagnostic(
        self, message: str, line: int = 0, column: int = 0, hint: str = ""
    ) -> Diagnostic:
        """Returns an error that says the text itself is wrong."""
        return Diagnostic(
            severity=Severity.ERROR,
            code="MC0001",
            message=message,
            file=self.name,
            line=line,
            column=column,
            source_line=self.line(line) if line else "",
            hint=hint,
        )
