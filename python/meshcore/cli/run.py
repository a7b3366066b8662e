"""`meshcore run`: reads the command line, and becomes the sidecar."""
# ruff: noqa: FBT002 - a flag of the command line is false by default

import json
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from meshcore import __version__
from meshcore.cli import intercept_options as options
from meshcore.cli.joining import joining_of
from meshcore.cli.where import MeshOption, StateOption, mesh_of, state_of
from meshcore.control.interception.capture import USER
from meshcore.control.redirect import has_ipv6
from meshcore.control.settings import Files, Ports, Settings, Wanted
from meshcore.errors import InvalidUnit
from meshcore.units import duration_ms

_MAX_PORT = 65535
# Threads that carry requests at most, if nothing is said. Source: Istio's `concurrency`.
_WORKERS = 2


def _env(name: str) -> str:
    return f"MESHCORE_{name}"


def _duration(text: str) -> str:
    try:
        duration_ms(text)
    except InvalidUnit as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _port(default: str, env: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        envvar=_env(env), min=0, max=_MAX_PORT, metavar="PORT", show_default=default,
        help="0 takes a free one.",
    )  # fmt: skip
    return option


def run(  # noqa: PLR0913, PLR0917 - one for each option
    service: Annotated[
        str | None,
        typer.Option(envvar=_env("SERVICE"), help="Service of the mesh that it stands beside."),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            envvar=_env("GATEWAY"),
            metavar="NAME",
            help="Be this gateway instead: open the servers of the Gateways that select it.",
        ),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            envvar=_env("PORT"),
            min=1,
            max=_MAX_PORT,
            metavar="PORT",
            help="Port that is served; may be repeated.",
            show_default="those of the service",
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(envvar=_env("VERSION"), help="Version of the service.")
    ] = None,
    namespace: Annotated[
        str, typer.Option(envvar=_env("NAMESPACE"), help="Namespace of the service.")
    ] = "default",
    mesh: MeshOption = None,
    address: Annotated[
        str | None,
        typer.Option(envvar=_env("ADDRESS"), help="Address of the workload, if it has several."),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(
            envvar=_env("APP"),
            metavar="HOST:PORT",
            help="Where the application listens.",
            show_default="the address and port of the workload",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(envvar=_env("NAME"), help="Name of the workload.")
    ] = None,
    service_account: Annotated[
        str | None,
        typer.Option(
            envvar=_env("SERVICE_ACCOUNT"),
            help="Service account of its identity.",
            show_default="that of the workload",
        ),
    ] = None,
    no_inbound: Annotated[
        bool,
        typer.Option("--no-inbound", envvar=_env("NO_INBOUND"), help="Nobody calls it."),
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            envvar=_env("CONCURRENCY"),
            min=1,
            max=1024,
            help="Threads that carry requests.",
            show_default="processors, at most 2",
        ),
    ] = None,
    drain: Annotated[
        str,
        typer.Option(
            envvar=_env("DRAIN"),
            callback=_duration,
            metavar="DURATION",
            help="How long requests may go on when it ends.",
        ),
    ] = "45s",
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            envvar=_env("PLUGIN"),
            exists=True,
            dir_okay=False,
            help="Python file with hooks; may be repeated.",
        ),
    ] = None,
    isolate_plugins: Annotated[
        bool,
        typer.Option(
            "--isolate-plugins",
            envvar=_env("ISOLATE_PLUGINS"),
            help="Run each plugin in a process of its own.",
        ),
    ] = False,
    access_log: Annotated[
        str | None,
        typer.Option(
            envvar=_env("ACCESS_LOG"),
            metavar="text|json|FILE",
            help="Access log to standard output, or to a file.",
            show_default="what the mesh says",
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("CERT"),
            exists=True,
            dir_okay=False,
            help="Certificate chain (PEM), read again when it changes.",
            show_default="from the development authority",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(envvar=_env("KEY"), exists=True, dir_okay=False, help="Its key (PEM)."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("CA"), exists=True, dir_okay=False, help="Roots that are trusted (PEM)."
        ),
    ] = None,
    crl: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("CRL"),
            exists=True,
            dir_okay=False,
            help="Certificates that were taken back (CRLs, PEM), read again when it changes.",
        ),
    ] = None,
    cert_ttl: Annotated[
        str,
        typer.Option(
            envvar=_env("CERT_TTL"),
            callback=_duration,
            metavar="DURATION",
            help="Life of certificates of the development authority.",
        ),
    ] = "24h",
    state: StateOption = None,
    allow_shrink: Annotated[
        bool,
        typer.Option(
            "--allow-shrink",
            envvar=_env("ALLOW_SHRINK"),
            help="Apply changes that remove most services or policies without confirmation.",
        ),
    ] = False,
    set_http_proxy: Annotated[
        bool,
        typer.Option(
            "--set-http-proxy",
            envvar=_env("SET_HTTP_PROXY"),
            help="Set http_proxy for the application, so that its calls go through the mesh.",
        ),
    ] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("READY_FILE"),
            dir_okay=False,
            help="File that is written (JSON) when requests are taken.",
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(envvar=_env("LOG_LEVEL"), metavar="debug|info|warning|error", help="Log."),
    ] = "info",
    takeover: Annotated[
        bool,
        typer.Option(
            "--takeover",
            envvar=_env("TAKEOVER"),
            help="Take the sockets over from the running sidecar of this workload, which drains.",
        ),
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(
            envvar=_env("CONTROL"),
            metavar="HOST:PORT",
            help="Control plane that says what the mesh is, in place of documents;"
            " http://HOST:PORT calls it in plain text, on this host.",
        ),
    ] = None,
    token: Annotated[
        Path | None,
        typer.Option(
            envvar=_env("TOKEN"),
            exists=True,
            dir_okay=False,
            help="File of the token that the control plane knows the sidecar by.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(envvar=_env("GROUP"), help="WorkloadGroup that the workload registers with."),
    ] = None,
    discovery_wait: Annotated[
        str,
        typer.Option(
            envvar=_env("DISCOVERY_WAIT"),
            callback=_duration,
            metavar="DURATION",
            help="How long the first request to a host waits for the control plane.",
        ),
    ] = "2s",
    discovery_unused: Annotated[
        str,
        typer.Option(
            envvar=_env("DISCOVERY_UNUSED"),
            callback=_duration,
            metavar="DURATION",
            help="After how long without calls a host is dropped.",
        ),
    ] = "10m",
    supervise: Annotated[
        bool,
        typer.Option(
            "--supervise",
            envvar=_env("SUPERVISE"),
            help="Start the sidecar again when its process dies; the application goes on.",
        ),
    ] = False,
    intercept: options.Intercept = False,
    intercepted: options.Intercepted = False,
    intercept_inbound_ports: options.InboundPorts = None,
    intercept_exclude_inbound_ports: options.InboundPortsExcluded = None,
    intercept_outbound_ports: options.OutboundPorts = None,
    intercept_exclude_outbound_ports: options.OutboundPortsExcluded = None,
    intercept_outbound_ranges: options.OutboundRanges = None,
    intercept_exclude_outbound_ranges: options.OutboundRangesExcluded = None,
    intercept_backend: options.Backend = "auto",
    intercept_user: options.User = str(USER),
    dns: options.Dns = None,
    dns_port: Annotated[int, _port("15053", "DNS_PORT")] = 15053,
    outbound_port: Annotated[int, _port("15001", "OUTBOUND_PORT")] = 15001,
    inbound_port: Annotated[int | None, _port("the mesh's, or 15006", "INBOUND_PORT")] = None,
    hbone_port: Annotated[int | None, _port("the mesh's, or 15008", "HBONE_PORT")] = None,
    admin_port: Annotated[int, _port("15000", "ADMIN_PORT")] = 15000,
    health_port: Annotated[int, _port("15021", "HEALTH_PORT")] = 15021,
    metrics_port: Annotated[int, _port("15090", "METRICS_PORT")] = 15090,
    command: Annotated[
        list[str] | None, typer.Argument(help="Application to start when the sidecar is ready.")
    ] = None,
) -> None:
    """Run a sidecar beside a service, until SIGTERM.

    It finds itself in the mesh by service, version and address. SIGTERM drains; a second one
    ends at once. SIGHUP reads the documents now and opens logs again. Changes of the documents
    and plugins are applied as they are saved; a bad one is refused and what is in force stays.

    With --gateway it is no sidecar, but a gateway of that name (and namespace): it has the labels
    of the workload behind the Service of that name, or else app=NAME and istio=NAME, without a
    leading "istio-".

    With a COMMAND, the application is started when the sidecar is ready and stopped after the
    drain, and its exit status becomes that of this command. It finds the address to call others
    in MESHCORE_OUTBOUND.

    With --takeover it replaces a running sidecar, and no request is lost: it takes the listening
    sockets over when it is ready itself. An application stays with the process that started it.

    With --supervise a small process stays above the sidecar and keeps its sockets: when the
    sidecar dies, connections wait for the next one.

    With --intercept the kernel redirects all connections of this host, or container, to the
    sidecar. A small process stays above it, as root, and takes the redirections out in the end.
    """
    joining = joining_of(control, token, group, discovery_wait, discovery_unused)
    where = mesh_of(mesh) if joining is None else None
    if joining is not None and mesh is not None:
        raise typer.BadParameter(
            "the control plane has the documents: leave one of them out",
            param_hint="--mesh, --control",
        )
    home = state_of(where or Path("mesh.yaml").absolute(), state)
    is_intercepted = intercept or intercepted
    has_dns = is_intercepted if dns is None else dns
    if is_intercepted and gateway:
        raise typer.BadParameter("a gateway is called itself", param_hint="--intercept")
    redirections = None
    if intercept:
        lists = (intercept_inbound_ports, intercept_exclude_inbound_ports,
                 intercept_outbound_ports, intercept_exclude_outbound_ports,
                 intercept_outbound_ranges, intercept_exclude_outbound_ranges)  # fmt: skip
        needed = [path for path in (where, token, cert, key, ca, crl, *(plugin or ())) if path]
        redirections = options.for_supervisor(
            lists, intercept_backend, (intercept_user, home, needed)
        )
    settings = Settings(
        wanted=Wanted(
            _which(service, gateway), namespace, version, _address(address), name,
            service_account, tuple(port or ()), not no_inbound, is_gateway=gateway is not None,
        ),
        mesh=str(where) if joining is None else joining.address,
        version=__version__,
        state=str(home),
        joining=joining,
        ports=Ports(
            outbound_port, inbound_port, hbone_port, admin_port, health_port, metrics_port,
            dns_port if has_dns else None,
        ),
        application=_application(app),
        files=_files(cert, key, ca, crl),
        certificate_ttl_seconds=max(1, duration_ms(cert_ttl) // 1000),
        plugins=tuple(str(path.absolute()) for path in plugin or ()),
        isolate_plugins=isolate_plugins,
        access_log=_access_log(access_log),
        workers=concurrency or min(_WORKERS, _processors()),
        drain_ms=duration_ms(drain),
        allow_shrink=allow_shrink,
        log_level=_log_level(log_level),
        ready_file=str(ready_file.absolute()) if ready_file else None,
        command=() if supervise or intercept else tuple(command or ()),
        set_http_proxy=set_http_proxy,
        intercepted=is_intercepted,
        both_families=is_intercepted and has_ipv6(),
    )  # fmt: skip
    if supervise or intercept:
        names = ["http_proxy", "HTTP_PROXY"] if set_http_proxy else []
        above = {
            "takeover": takeover, "restarts": supervise, "command": command or [],
            "proxy_variables": names, "intercept": redirections,
        }  # fmt: skip
        _become("supervise", settings.to_json(), json.dumps(above))
    _become("sidecar", settings.to_json(), json.dumps({"takeover": takeover}))


def _which(service: str | None, gateway: str | None) -> str:
    """Returns the service, or the name of the gateway.

    Raises:
        BadParameter: Neither is given, or both are.
    """
    if (service is None) == (gateway is None):
        raise typer.BadParameter("say one of them", param_hint="--service / --gateway")
    return service or gateway or ""


def _become(program: str, *arguments: str) -> NoReturn:
    """Replaces this process: what read the command line takes 10 MB, for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", f"meshcore.cli.{program}", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - ourselves


def _address(text: str | None) -> str | None:
    try:
        return str(ip_address(text)) if text else None
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not an IP address", param_hint="--address"
        ) from error


def _application(text: str | None) -> str | None:
    """Returns an address with an IP and a port, of `HOST:PORT` or `PORT`."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]").replace("localhost", "127.0.0.1") or "127.0.0.1"
    try:
        address = ip_address(host)
    except ValueError as error:
        hint = f"{host!r} is not an IP address or localhost"
        raise typer.BadParameter(hint, param_hint="--app") from error
    if not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise typer.BadParameter(f"{port!r} is not a port", param_hint="--app")
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _files(cert: Path | None, key: Path | None, ca: Path | None, crl: Path | None) -> Files | None:
    if not (cert or key or ca or crl):
        return None
    if not (cert and key and ca):
        hint = "--cert, --key, --ca, --crl" if crl else "--cert, --key, --ca"
        raise typer.BadParameter("they belong together", param_hint=hint)
    revocations = str(crl.absolute()) if crl else None
    return Files(str(cert.absolute()), str(key.absolute()), str(ca.absolute()), revocations)


def _access_log(text: str | None) -> str | None:
    return text if text in {None, "text", "json"} else str(Path(text or "").absolute())


def _log_level(text: str) -> str:
    if text not in {"debug", "info", "warning", "error"}:
        raise typer.BadParameter(f"{text!r} is not a level", param_hint="--log-level")
    return text


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
