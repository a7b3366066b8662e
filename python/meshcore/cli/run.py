"""`meshcore run`: reads the command line, and becomes the sidecar."""
# ruff: noqa: FBT002 - a flag of the command line is false by default

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from meshcore import __version__
from meshcore.cli import identity_options as identity
from meshcore.cli import intercept_options as options
from meshcore.cli import joining
from meshcore.cli import running_options as running
from meshcore.cli import workload_options as workload
from meshcore.cli.where import MeshOption, StateOption, mesh_of, state_of
from meshcore.control.interception.capture import USER
from meshcore.control.redirect import has_ipv6
from meshcore.control.settings import Ports, Settings, Wanted
from meshcore.units import duration_ms

_MAX_PORT = 65535


def _port(default: str, env: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        envvar=f"MESHCORE_{env}", min=0, max=_MAX_PORT, metavar="PORT", show_default=default,
        help="0 takes a free one.",
    )  # fmt: skip
    return option


def run(  # noqa: PLR0913, PLR0917 - one for each option
    service: workload.Service = None,
    gateway: workload.Gateway = None,
    port: workload.Port = None,
    version: workload.Version = None,
    namespace: workload.Namespace = "default",
    address: workload.Address = None,
    app: workload.App = None,
    name: workload.Name = None,
    service_account: workload.ServiceAccount = None,
    no_inbound: workload.NoInbound = False,
    mesh: MeshOption = None,
    state: StateOption = None,
    allow_shrink: running.AllowShrink = False,
    control: joining.Control = None,
    token: joining.Token = None,
    group: joining.Group = None,
    discovery_wait: joining.DiscoveryWait = "2s",
    discovery_unused: joining.DiscoveryUnused = "10m",
    cert: identity.Cert = None,
    key: identity.Key = None,
    ca: identity.Ca = None,
    crl: identity.Crl = None,
    cert_ttl: identity.CertTtl = "24h",
    plugin: running.Plugin = None,
    isolate_plugins: running.IsolatePlugins = False,
    access_log: running.AccessLog = None,
    log_level: running.LogLevel = "info",
    concurrency: running.Concurrency = None,
    drain: running.Drain = "45s",
    takeover: running.Takeover = False,
    supervise: running.Supervise = False,
    set_http_proxy: running.SetHttpProxy = False,
    ready_file: running.ReadyFile = None,
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
    joined = joining.joining_of(control, token, group, discovery_wait, discovery_unused)
    where = mesh_of(mesh) if joined is None else None
    if joined is not None and mesh is not None:
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
            workload.which(service, gateway), namespace, version, workload.address_of(address),
            name, service_account, tuple(port or ()), not no_inbound,
            is_gateway=gateway is not None,
        ),
        mesh=str(where) if joined is None else joined.address,
        version=__version__,
        state=str(home),
        joining=joined,
        ports=Ports(
            outbound_port, inbound_port, hbone_port, admin_port, health_port, metrics_port,
            dns_port if has_dns else None,
        ),
        application=workload.application_of(app),
        files=identity.files_of(cert, key, ca, crl),
        certificate_ttl_seconds=max(1, duration_ms(cert_ttl) // 1000),
        plugins=tuple(str(path.absolute()) for path in plugin or ()),
        isolate_plugins=isolate_plugins,
        access_log=running.access_log_of(access_log),
        workers=running.workers_of(concurrency),
        drain_ms=duration_ms(drain),
        allow_shrink=allow_shrink,
        log_level=running.log_level_of(log_level),
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


def _become(program: str, *arguments: str) -> NoReturn:
    """Replaces this process: what read the command line takes 10 MB, for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", f"meshcore.cli.{program}", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - ourselves
