"""The options of `meshcore run` that say by what certificates it is known."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.times import duration_option
from meshcore.control.settings import Files

Cert = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_CERT",
        exists=True,
        dir_okay=False,
        help="Certificate chain (PEM), read again when it changes.",
        show_default="from the development authority",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(envvar="MESHCORE_KEY", exists=True, dir_okay=False, help="Its key (PEM)."),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_CA", exists=True, dir_okay=False, help="Roots that are trusted (PEM)."
    ),
]
Crl = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_CRL",
        exists=True,
        dir_okay=False,
        help="Certificates that were taken back (CRLs, PEM), read again when it changes.",
    ),
]
CertTtl = Annotated[
    str,
    typer.Option(
        envvar="MESHCORE_CERT_TTL",
        callback=duration_option,
        metavar="DURATION",
        help="Life of certificates of the development authority.",
    ),
]


def files_of(
    cert: Path | None, key: Path | None, ca: Path | None, crl: Path | None
) -> Files | None:
    """Returns the files that the options name, if they name some.

    Raises:
        BadParameter: One that belongs to the others is missing.
    """
    if not (cert or key or ca or crl):
        return None
    if not (cert and key and ca):
        hint = "--cert, --key, --ca, --crl" if crl else "--cert, --key, --ca"
        raise typer.BadParameter("they belong together", param_hint=hint)
    revocations = str(crl.absolute()) if crl else None
    return Files(str(cert.absolute()), str(key.absolute()), str(ca.absolute()), revocations)
