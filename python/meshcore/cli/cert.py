"""`meshcore cert`: the development authority, and the root of a control plane."""

import ssl
from pathlib import Path
from typing import Annotated, Any

import typer

from meshcore.cli.admin import ask_all
from meshcore.cli.app import PLAIN
from meshcore.cli.exits import Exit
from meshcore.cli.explained import explained
from meshcore.cli.output import Output, OutputOption, table, write
from meshcore.cli.rotation import rotation
from meshcore.cli.times import duration_seconds, shown_time
from meshcore.cli.where import MeshOption, StateOption, mesh_of, state_of
from meshcore.control import atomic, authority
from meshcore.errors import CertificateError

cert = typer.Typer(
    no_args_is_help=True,
    help="Make and show certificates of the development authority; rotate a mesh's root.",
    **PLAIN,
)
cert.add_typer(rotation, name="rotate-root")
# Source: RFC 4514 section 3.
_SHORT = {"organizationName": "O", "commonName": "CN"}
DomainOption = Annotated[
    str,
    typer.Option(envvar="MESHCORE_TRUST_DOMAIN", help="Trust domain of the identities."),
]


@cert.command()
@explained
def init(
    mesh: MeshOption = None,
    state: StateOption = None,
    trust_domain: DomainOption = "cluster.local",
) -> None:
    """Make the development authority, if there is none yet.

    `meshcore run` does the same when it needs one.
    """
    directory = _directory(mesh, state)
    if Path(directory).is_dir():
        authority.load(directory)
        typer.echo(f"{directory} is there already")
        return
    authority.create(directory, trust_domain)
    typer.echo(f"made {directory} for {trust_domain}: whoever can read it can be anybody here")


@cert.command()
@explained
def issue(  # noqa: PLR0913, PLR0917 - one for each option
    service_account: Annotated[
        str,
        typer.Option(envvar="MESHCORE_SERVICE_ACCOUNT", help="Service account of the identity."),
    ],
    out: Annotated[Path, typer.Option(envvar="MESHCORE_OUT", help="Directory for the files.")],
    namespace: Annotated[
        str, typer.Option(envvar="MESHCORE_NAMESPACE", help="Namespace of the identity.")
    ] = "default",
    ttl: Annotated[
        str, typer.Option(envvar="MESHCORE_CERT_TTL", help="How long it is valid.")
    ] = "24h",
    mesh: MeshOption = None,
    state: StateOption = None,
    trust_domain: DomainOption = "cluster.local",
) -> None:
    """Make a certificate for an identity: cert-chain.pem, key.pem and root-cert.pem."""
    identity = f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
    ca = authority.open_or_create(_directory(mesh, state), trust_domain)
    issued = ca.issue(identity, max(1, duration_seconds("--ttl", ttl)))
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic.write(str(out / "key.pem"), (issued.key or "").encode())
        atomic.write(str(out / "cert-chain.pem"), issued.chain.encode(), 0o644)
        atomic.write(str(out / "root-cert.pem"), issued.root.encode(), 0o644)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CertificateError(f"{out}: {why}, give a directory as --out") from error
    typer.echo(f"{identity}, serial {issued.serial}, until {shown_time(issued.not_after)}")


@cert.command()
@explained
def show(
    mesh: MeshOption = None, state: StateOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show the development authority, and the certificates of the sidecars that run."""
    where = mesh_of(mesh)
    directory = state_of(where, state)
    found = [*_roots(directory / "ca"), *_of_sidecars(where, directory)]
    if not found:
        typer.echo(
            f"no authority in {directory / 'ca'}: make one with meshcore cert init", err=True
        )
        raise typer.Exit(Exit.NOT_FOUND)
    if output is Output.TABLE:
        head = ("holder", "identity", "serial", "issuer", "until")
        typer.echo(table(head, [[str(one[name]) for name in head] for one in found]))
    else:
        write(found, output)


def _roots(directory: Path) -> list[dict[str, Any]]:
    """Returns what is in the certificate of the authority."""
    if not directory.is_dir():
        return []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(directory / authority.CERTIFICATE)
    except OSError as error:
        raise CertificateError(f"{directory / authority.CERTIFICATE}: {error}") from error
    return [
        {
            "holder": "authority",
            "identity": _names(found) or _text(found["subject"]),
            "serial": str(found["serialNumber"]).lower(),
            "issuer": _text(found["issuer"]),
            "until": shown_time(ssl.cert_time_to_seconds(str(found["notAfter"]))),
        }
        for found in context.get_ca_certs()
    ]


def _names(found: Any) -> str:  # noqa: ANN401 - the standard library's own dictionary
    return ", ".join(name for kind, name in found.get("subjectAltName", ()) if kind == "URI")


def _text(name: Any) -> str:  # noqa: ANN401 - as above
    return ", ".join(f"{_SHORT.get(key, key)}={value}" for part in name for key, value in part)


def _of_sidecars(mesh: Path, state: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for answer in ask_all(mesh, state):
        status = answer.status or {}
        certificate = status.get("certificate")
        if certificate:
            trust = [root["subject"] for root in certificate["trust"]]
            rows.append(
                {
                    "holder": status["node"]["name"],
                    "identity": certificate["identity"],
                    "serial": certificate["serial"],
                    "issuer": "; ".join(trust),
                    "until": shown_time(certificate["not_after"]),
                }
            )
    return rows


def _directory(mesh: Path | None, state: Path | None) -> str:
    return str((state.absolute() if state else state_of(mesh_of(mesh))) / "ca")
