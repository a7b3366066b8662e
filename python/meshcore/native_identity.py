"""Identity: the state of a control plane, and certificates from one; typed calls, plain values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshcore import _native
from meshcore._native import Credentials

__all__ = ["ControlState", "Credentials", "Enrolment", "EnrolmentOptions"]


@dataclass(frozen=True, slots=True)
class EnrolmentOptions:
    """How a sidecar gets its certificates from a control plane."""

    address: str
    """`HOST:PORT` of the control plane."""
    token: str | None = None
    """A token of `meshcore token create`; not needed where credentials are kept from before."""
    roots: str | None = None
    """PEM of the roots that vouch for the control plane, rather than what the token says."""
    control: str | None = None
    """Identity of the control plane, if there is no token that says it."""
    plain: bool = False
    """Speak plain text, which only a loopback address may."""
    ttl_seconds: int = 24 * 3600
    """How long certificates are to be valid; the control plane may give less."""
    deadline_ms: int = 10_000
    """How long a call may take, with its connection."""


class ControlState:
    """The authority of a control plane on disk: its tokens, and the rotation of its root.

    The control plane may run meanwhile: it sees what is changed here at its next call.
    """

    def __init__(
        self, directory: str, control: str | None = None, cacerts: str | None = None
    ) -> None:
        """Opens the directory.

        Args:
            directory: The state directory of the control plane.
            control: Identity of the control plane, with which the directory is made at the first
                time; without it, it must be there.
            cacerts: Directory of an authority that is plugged in.

        Raises:
            CertificateError: It is missing or cannot be used.
        """
        self._native = _native.ControlState(directory, control, cacerts)

    @property
    def control(self) -> str:
        """The identity of the control plane."""
        return self._native.control

    def roots(self) -> str:
        """Returns PEM of all roots that are trusted now."""
        return self._native.roots()

    def create_token(
        self, namespace: str, service_account: str, ttl_seconds: int
    ) -> tuple[str, Mapping[str, Any]]:
        """Makes a token; returns it, and its `id`, `identity`, `issued_at` and `expires_at`.

        Raises:
            CertificateError: It cannot be made or noted.
        """
        token, described = self._native.create_token(namespace, service_account, ttl_seconds)
        return token, json.loads(described)

    def tokens(self) -> Sequence[Mapping[str, Any]]:
        """Returns the tokens that have not ended, the oldest first."""
        listed: list[dict[str, Any]] = json.loads(self._native.tokens())
        return listed

    def revoke_token(self, token_id: str) -> Mapping[str, Any]:
        """Takes a token back; returns what it was.

        Raises:
            CertificateError: There is none of this id, or the list cannot be written.
        """
        revoked: dict[str, Any] = json.loads(self._native.revoke_token(token_id))
        return revoked

    def begin_rotation(self, overlap_seconds: int, cacerts: str | None = None) -> None:
        """Trusts a new root from now on, which signs when the overlap has passed.

        Raises:
            CertificateError: A rotation is going on, or the new authority cannot be used.
        """
        self._native.begin_rotation(overlap_seconds, cacerts)

    def rotation(self) -> Mapping[str, Any]:
        """Returns the `phase`, `until` when it lasts, and the `authorities`."""
        rotation: dict[str, Any] = json.loads(self._native.rotation())
        return rotation

    def finish_rotation(self, *, now: bool = False) -> None:
        """Trusts the old root no more; before its last certificate has ended only if `now`.

        Raises:
            CertificateError: It is too early, or no rotation is going on.
        """
        self._native.finish_rotation(now)


class Enrolment:
    """Gets the certificates of one identity from a control plane.

    `issue` makes a new key each time. The first call proves who asks by the token, later ones by
    the certificate that the one before gave, as long as it is valid.
    """

    def __init__(self, options: EnrolmentOptions, credentials: Credentials | None = None) -> None:
        """Takes the token, or credentials that were kept from before; calls nobody yet.

        Raises:
            CertificateError: There is neither, or the token or the roots cannot be read.
        """
        described = json.dumps(asdict(options)).encode()
        self._native = _native.Enrolment(described, credentials)

    @property
    def identity(self) -> str:
        """Whom the certificates are for."""
        return self._native.identity

    @property
    def control(self) -> str:
        """The identity of the control plane, which it has to prove."""
        return self._native.control

    def issue(self) -> Credentials:
        """Asks for a certificate for a new key. Waits, and lets other threads run meanwhile.

        Raises:
            CertificateError: The control plane refuses, is somebody else, or answers with what is
                not for this key and identity.
            Unreachable: It does not answer in time; try again later.
        """
        return self._native.issue()
