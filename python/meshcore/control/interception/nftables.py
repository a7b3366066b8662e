"""Rules for `nft -f`: one table of our own for both families, replaced in one step.

Source of chains and their order: as in `iptables`.
"""

from collections.abc import Sequence

from meshcore.control.interception.capture import DNS_PORT, HBONE_PORT, Capture, Family, of_family

TABLE = "inet meshcore"
_FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
_WORD = {"ipv4": "ip", "ipv6": "ip6"}
_LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}
# What the sidecar's connections to the application come from: `TO_APPLICATION` in `dial.rs`.
_TO_APPLICATION = {"ipv4": "127.0.0.6", "ipv6": "::6"}


def ruleset(capture: Capture) -> str:
    """Returns what puts the capture in force in place of our table, if there is one."""
    chains: dict[str, list[str]] = {
        "ISTIO_IN_REDIRECT": [],
        "ISTIO_REDIRECT": [f"meta l4proto tcp redirect to :{capture.outbound_port}"],
        "ISTIO_INBOUND": [],
        "ISTIO_OUTPUT": _outbound(capture),
        "ISTIO_OUTPUT_DNS": [],
        "prerouting": ["type nat hook prerouting priority -100; policy accept;"],
        "output": [
            "type nat hook output priority -100; policy accept;",
            "meta l4proto tcp jump ISTIO_OUTPUT",
        ],
    }
    if capture.inbound_port is not None:
        chains["ISTIO_IN_REDIRECT"] = [f"meta l4proto tcp redirect to :{capture.inbound_port}"]
        chains["ISTIO_INBOUND"] = _inbound(capture)
        chains["prerouting"].append("meta l4proto tcp jump ISTIO_INBOUND")
    if capture.dns_port is not None:
        owners = [f"{owner} return" for owner in _owners(capture)]
        chains["ISTIO_OUTPUT_DNS"] = [*owners, *_dns(capture, "udp")]
        chains["output"].append("meta l4proto udp jump ISTIO_OUTPUT_DNS")
        chains |= _zones(capture)
    lines = [clear().replace("delete", "add"), clear(), f"table {TABLE} {{"]
    for name, rules in chains.items():
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]
    return "\n".join([*lines, "}"]) + "\n"


def clear() -> str:
    """Returns what takes our table out, which must be there."""
    return f"delete table {TABLE}"


def _inbound(capture: Capture) -> list[str]:
    rules = [f"tcp dport {_any(capture.inbound_skipped)} return"]
    if capture.inbound_ports is None:
        return [*rules, "meta l4proto tcp jump ISTIO_IN_REDIRECT"]
    if capture.inbound_ports:
        rules.append(f"tcp dport {_any(capture.inbound_ports)} jump ISTIO_IN_REDIRECT")
    return rules


def _outbound(capture: Capture) -> list[str]:
    excluded = capture.outbound_ports_excluded
    rules = [f"tcp dport {_any(excluded)} return"] if excluded else []
    rules += [f'oifname "lo" {_WORD[f]} saddr {_TO_APPLICATION[f]} return' for f in _FAMILIES]
    rules += [rule for owner in _owners(capture) for rule in _of_sidecar(capture, owner)]
    rules += _dns(capture, "tcp")
    rules += [f"{_WORD[f]} daddr {_LOOPBACK[f]} return" for f in _FAMILIES]
    rules += _to(capture.outbound_ranges_excluded, "return")
    if capture.outbound_ports:
        rules.append(f"tcp dport {_any(capture.outbound_ports)} jump ISTIO_REDIRECT")
    if capture.outbound_ranges is None:
        return [*rules, "jump ISTIO_REDIRECT"]
    return rules + _to(capture.outbound_ranges, "jump ISTIO_REDIRECT")


def _to(blocks: tuple[str, ...], verdict: str) -> list[str]:
    return [
        f"{_WORD[family]} daddr {block} {verdict}"
        for family in _FAMILIES
        for block in of_family(blocks, family)
    ]


def _of_sidecar(capture: Capture, owner: str) -> list[str]:
    """Connections of the sidecar pass, and those of others within this host."""
    not_dns = f" tcp dport != {DNS_PORT}" if capture.dns_port is not None else ""
    others = f'oifname "lo"{not_dns} {owner.replace(" ", " != ")} return'
    rules = [_to_itself(owner, family) for family in _FAMILIES]
    return [*(rules if capture.inbound_port is not None else []), others, f"{owner} return"]


def _to_itself(owner: str, family: Family) -> str:
    """The application calls its own service: policy holds as for any caller."""
    here = f'oifname "lo" {_WORD[family]} daddr != {_LOOPBACK[family]}'
    not_tunnels = f"tcp dport != {_any([DNS_PORT, HBONE_PORT])}"
    return f"{here} {not_tunnels} {owner} jump ISTIO_IN_REDIRECT"


def _dns(capture: Capture, protocol: str) -> list[str]:
    redirect = f"{protocol} dport {DNS_PORT} redirect to :{capture.dns_port}"
    return [
        f"{_WORD[family]} daddr {server} {redirect}"
        for family in _FAMILIES
        for server in of_family(capture.nameservers, family)
        if capture.dns_port is not None
    ]


def _zones(capture: Capture) -> dict[str, list[str]]:
    """Zones of connections for DNS: the port that an application asks from may also be ours."""
    out = ["type filter hook output priority -300; policy accept;"]
    back = ["type filter hook prerouting priority -300; policy accept;"]
    for owner in _owners(capture):
        out.append(f"{owner} udp dport {DNS_PORT} ct zone set 1 return")
        out.append(f"{owner} udp sport {capture.dns_port} ct zone set 2 return")
    for family in _FAMILIES:
        for server in of_family(capture.nameservers, family):
            word = _WORD[family]
            out.append(f"{word} daddr {server} udp dport {DNS_PORT} ct zone set 2")
            back.append(f"{word} saddr {server} udp sport {DNS_PORT} ct zone set 1")
    return {"raw_output": out, "raw_prerouting": back}


def _owners(capture: Capture) -> list[str]:
    users = [f"skuid {uid}" for uid in capture.uids]
    return [*users, *(f"skgid {gid}" for gid in capture.gids)]


def _any(ports: Sequence[int]) -> str:
    return f"{{ {', '.join(map(str, ports))} }}"
