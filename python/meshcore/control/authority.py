"""The development authority: a root in a directory, for meshes without a control plane.

Whoever can read the directory can be anybody in the mesh: it is for one machine and one person.
"""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH102, PTH103, PTH104, PTH106, PTH108, PTH110, PTH112, PTH118, PTH120, PTH123, PTH208, PTH116

import os
from contextlib import suppress

from meshcore.errors import CertificateError
from meshcore.native import Authority

# How long a new root is valid.
VALID_SECONDS = 10 * 365 * 24 * 3600
# Names of its files. Source: Istio's plugin CA certificates.
CERTIFICATE, KEY, ROOT = "ca-cert.pem", "ca-key.pem", "root-cert.pem"


def open_or_create(directory: str, trust_domain: str) -> Authority:
    """Returns the authority in `directory`, which is made if it is missing.

    Two that start at once get the same: the directory appears whole, or not at all.

    Raises:
        CertificateError: It cannot be read or made.
    """
    if not os.path.isdir(directory):
        create(directory, trust_domain)
    return load(directory)


def load(directory: str) -> Authority:
    """Returns the authority in `directory`.

    Raises:
        CertificateError: It cannot be read.
    """
    try:
        _check_secret(directory)
        return Authority.load(_read(directory, CERTIFICATE), _read(directory, KEY))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CertificateError(f"development authority in {directory}: {why}") from error


def create(directory: str, trust_domain: str) -> bool:
    """Makes an authority in `directory`; whether it did, rather than another at the same time.

    Raises:
        CertificateError: The directory cannot be made.
    """
    authority = Authority.create(trust_domain, VALID_SECONDS)
    above = os.path.dirname(directory)
    try:
        os.makedirs(above, mode=0o700, exist_ok=True)
        beside = os.path.join(above, f".ca-{os.urandom(8).hex()}")
        os.mkdir(beside, 0o700)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CertificateError(
            f"development authority in {directory}: {why}; use --state or --cert, --key and --ca"
        ) from error
    try:
        _write(beside, CERTIFICATE, authority.certificate)
        _write(beside, KEY, authority.key)
        _write(beside, ROOT, authority.root)
        os.rename(beside, directory)
    except OSError as error:
        _remove(beside)
        if os.path.exists(os.path.join(directory, KEY)):
            return False  # another one was first
        raise CertificateError(f"development authority in {directory}: {error}") from error
    return True


def _check_secret(directory: str) -> None:
    """Refuses a directory that somebody else made or may change, such as one below /tmp."""
    for path in (directory, os.path.join(directory, KEY)):
        found = os.stat(path)
        if found.st_uid not in {0, os.geteuid()}:
            raise CertificateError(f"{path} belongs to another user, use --state")
        if found.st_mode & 0o077:
            raise CertificateError(f"{path} is open to other users: chmod go= {path}")


def _remove(directory: str) -> None:
    with suppress(OSError):
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


def _read(directory: str, name: str) -> str:
    # Comments between the parts of a PEM file may be in any encoding.
    with open(os.path.join(directory, name), encoding="ascii", errors="replace") as file:
        return file.read()


def _write(directory: str, name: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(os.path.join(directory, name), flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
