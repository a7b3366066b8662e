"""Certificates that are renewed before they end."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH123

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from meshcore.control import authority
from meshcore.control.settings import Files
from meshcore.errors import CertificateError
from meshcore.native import Materials
from meshcore.sources.watch import fingerprint

_log = logging.getLogger("meshcore")

# Part of a certificate's life after which it is renewed, and how far that varies, so that all
# sidecars of a host do not renew at once.
HALF, JITTER = 0.5, 0.05
# How long to wait after the authority gave none.
RETRY_SECONDS = 30.0
# How often files that somebody else renews are looked at.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """Makes certificates with the development authority."""

    retry_seconds: ClassVar[float] = RETRY_SECONDS
    directory: str
    identity: str
    trust_domain: str
    aliases: tuple[str, ...]
    ttl_seconds: int

    def issue(self) -> tuple[Materials, Callable[[], bool]]:
        """Returns a new certificate with its key and trust, and what tells when it is old.

        Raises:
            CertificateError: The authority cannot be read or made, or is of another domain.
        """
        ca = authority.open_or_create(self.directory, self.trust_domain)
        issued = ca.issue(self.identity, self.ttl_seconds)
        roots = [(self.trust_domain, issued.root.encode())]
        aliases = [(alias, self.trust_domain) for alias in self.aliases]
        materials = Materials(issued.chain.encode(), (issued.key or "").encode(), roots, aliases)
        begin, end = materials.not_before, materials.not_after
        part = HALF + JITTER * (os.urandom(1)[0] / 127.5 - 1)
        at = begin + (end - begin) * part
        return materials, lambda: datetime.now(tz=UTC).timestamp() >= at


@dataclass(frozen=True, slots=True)
class Given:
    """Certificates in files that somebody else renews, perhaps one file after the other."""

    retry_seconds: ClassVar[float] = LOOK_SECONDS
    files: Files
    trust_domain: str
    aliases: tuple[str, ...]

    def issue(self) -> tuple[Materials, Callable[[], bool]]:
        """Returns what is in the files, and what tells whether they changed since.

        Raises:
            CertificateError: A file cannot be read or used. Says which.
        """
        revocations = self.files.revocations
        files = (self.files.certificate, self.files.key, self.files.roots)
        paths = (*files, revocations) if revocations else files
        before = fingerprint(paths)  # first, so that a change while we read is seen later
        chain, key, trusted = map(_read, files)
        _check_pem(self.files.certificate, chain, "BEGIN CERTIFICATE")
        _check_pem(self.files.key, key, "PRIVATE KEY")
        _check_pem(self.files.roots, trusted, "BEGIN CERTIFICATE")
        revoked = _read(revocations) if revocations else None
        try:
            materials = self._materials(chain, key, trusted, revoked)
        except CertificateError as error:
            raise CertificateError(f"{self._at_fault(trusted, error)}: {error}") from error
        return materials, lambda: fingerprint(paths) != before

    def _materials(
        self, chain: bytes, key: bytes, trusted: bytes, revoked: bytes | None = None
    ) -> Materials:
        aliases = [(alias, self.trust_domain) for alias in self.aliases]
        lists = [] if revoked is None else [(self.trust_domain, revoked)]
        return Materials(chain, key, [(self.trust_domain, trusted)], aliases, lists)

    def _at_fault(self, trusted: bytes, error: CertificateError) -> str:
        """Returns the file that the data plane refuses, which looks at the roots first."""
        if "private key" in str(error):
            return self.files.key
        if "revocation list" in str(error) and self.files.revocations:
            return self.files.revocations
        try:
            self._materials(b"", b"", trusted)
        except CertificateError as other:
            return self.files.roots if str(other) == str(error) else self.files.certificate
        return self.files.certificate


class Issues(Protocol):
    """What gives certificates."""

    retry_seconds: ClassVar[float]
    """How long to wait after it gave none."""

    def issue(self) -> tuple[Materials, Callable[[], bool]]:
        """Returns a certificate with its key and trust, and what tells when it is old.

        Raises:
            CertificateError: There is none.
        """
        ...


class Renewal:
    """Renews when it is due; looks at most once a second."""

    def __init__(self, issuer: Issues) -> None:
        """Gets the first certificate.

        Raises:
            CertificateError: There is none.
        """
        self._issuer = issuer
        self._look_at = 0.0
        self._failed = ""
        self.materials, self._is_due = issuer.issue()

    def is_due(self) -> bool:
        """Whether it is time to renew, or to look whether it is."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        return self._is_due()

    def hasten(self) -> None:
        """Makes it due now; it stays so until it is renewed."""
        self._look_at = 0.0
        self._is_due = lambda: True

    def renew(self, use: Callable[[Materials], None]) -> None:
        """Renews now. A failure is logged and tried again later."""
        now = time.monotonic()
        try:
            self.materials, self._is_due = self._issuer.issue()
        except CertificateError as error:
            self._look_at = now + self._issuer.retry_seconds
            if str(error) != self._failed:
                _log.error("certificate not renewed, the one in use stays: %s", error)
            self._failed = str(error)
            return
        self._failed = ""
        use(self.materials)
        _log.info("certificate renewed, serial %s", self.materials.serial)

    def turn(self, use: Callable[[Materials], None]) -> None:
        """Renews if it is due. A failure is logged and tried again later."""
        if self.is_due():
            self.renew(use)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _check_pem(path: str, data: bytes, label: str) -> None:
    if f"{label}-----".encode() not in data:
        what = label.removeprefix("BEGIN ").lower()
        raise CertificateError(f"{path}: no {what} in it, give a file in PEM form")
