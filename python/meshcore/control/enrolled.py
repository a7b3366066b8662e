"""Certificates from the control plane, kept for a start without it."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH103, PTH120, PTH123

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

from meshcore.control import atomic
from meshcore.control.renewal import HALF, JITTER
from meshcore.errors import CertificateError, Unreachable
from meshcore.native import Materials
from meshcore.native_identity import Credentials, Enrolment, EnrolmentOptions

_log = logging.getLogger("meshcore")

# A kept certificate that ends so soon is of no use.
_LEAST_SECONDS = 30.0
# How long to wait before the control plane is asked again at the start.
_AGAIN_SECONDS = 1.0


class Enrolled:
    """The certificates of one sidecar: the key is made here, and does not leave this host."""

    retry_seconds: ClassVar[float] = 30.0

    def __init__(self, options: EnrolmentOptions, path: str) -> None:
        """Takes what was kept, else asks; waits until there is a certificate.

        Args:
            options: How the control plane is asked.
            path: File for certificate, key and roots.

        Raises:
            CertificateError: The control plane refuses.
        """
        self._path = path
        self._options = options
        self._roots: list[tuple[str, bytes]] | None = None
        self._aliases: Mapping[str, str] = {}
        self._own_aliases: Mapping[str, str] = {}
        kept = _read(path)
        try:
            self._enrolment = Enrolment(options, kept)
        except CertificateError:
            if kept is None:
                raise
            kept, self._enrolment = None, Enrolment(options)  # it was somebody else's
        if kept is not None and not _is_valid(kept):
            kept = None
        self.credentials = kept or self._wait()
        self._is_new = True

    @property
    def control(self) -> str:
        """The identity of the control plane."""
        return self._enrolment.control

    def materials(self) -> Materials:
        """Returns the certificate of now, with the trust of now."""
        return self.credentials.materials(self._roots, list(self._aliases.items()))

    def trusts(self, trust: Mapping[str, Any] | None, own_aliases: Sequence[str] = ()) -> None:
        """Takes over whom the mesh trusts, if the control plane has said it.

        Args:
            trust: `roots` (PEM by trust domain) and `aliases`.
            own_aliases: Further names of the mesh's own trust domain.
        """
        domain = self.credentials.identity.removeprefix("spiffe://").partition("/")[0]
        if own_aliases:
            self._own_aliases = dict.fromkeys(own_aliases, domain)
        self._aliases = {**self._own_aliases, **(trust["aliases"] if trust is not None else {})}
        if trust is not None:
            self._roots = [(of, pem.encode()) for of, pem in trust["roots"].items()]
            self._believe(self._roots)

    def issue(self) -> tuple[Materials, Callable[[], bool]]:
        """Returns a new certificate, at first the one there is, and what tells when it is old.

        Raises:
            CertificateError: The control plane refuses, or does not answer.
        """
        if not self._is_new:
            try:
                self._take(self._enrolment.issue())
            except Unreachable as error:
                raise CertificateError(str(error)) from error
        self._is_new = False
        begin, end = self.credentials.not_before, self.credentials.not_after
        at = begin + (end - begin) * (HALF + JITTER * (os.urandom(1)[0] / 127.5 - 1))
        return self.materials(), lambda: datetime.now(tz=UTC).timestamp() >= at

    def _wait(self) -> Credentials:
        told = ""
        while True:
            try:
                issued = self._enrolment.issue()
            except Unreachable as error:
                if str(error) != told:
                    told = str(error)
                    _log.warning("no certificate yet, trying again: %s", error)
                time.sleep(_AGAIN_SECONDS)
            else:
                self._keep(issued)
                return issued

    def _believe(self, roots: list[tuple[str, bytes]]) -> None:
        """Knows the control plane by these roots from now on: it may have a certificate of each."""
        own = self.credentials
        try:
            self._take(Credentials(own.chain.encode(), own.key.encode(), roots))
        except CertificateError as error:  # of a root that is trusted no more: the token may help
            _log.warning("the own certificate does not fit the trust of the mesh: %s", error)

    def _take(self, issued: Credentials) -> None:
        self._enrolment = Enrolment(self._options, issued)
        self.credentials = issued
        self._keep(issued)

    def _keep(self, issued: Credentials) -> None:
        kept = {"chain": issued.chain, "key": issued.key, "roots": issued.roots}
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            atomic.write(self._path, json.dumps(kept).encode())
        except OSError as error:
            _log.warning("the certificate cannot be kept for the next start: %s", error)


def _is_valid(kept: Credentials) -> bool:
    return kept.not_after - datetime.now(tz=UTC).timestamp() > _LEAST_SECONDS


def _read(path: str) -> Credentials | None:
    """Returns what was kept; `None` if it is not there, not whole, or open to others."""
    with suppress(OSError, ValueError, KeyError, TypeError, CertificateError):
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                _log.warning("%s is open to other users and not used", path)
                return None
            kept = json.load(file)
        roots = [(str(domain), str(pem).encode()) for domain, pem in kept["roots"]]
        return Credentials(kept["chain"].encode(), kept["key"].encode(), roots)
    return None
