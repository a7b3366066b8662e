"""Rules for `iptables-restore --noflush` and `ip6tables-restore --noflush`, with Istio's chains.

Each table is replaced in one step. A jump to our chains carries a comment, by which it is known
again. Source of chains and their order: Istio's `istio-iptables`.
"""

from collections.abc import Iterable

from meshcore.control.interception.capture import (
    DNS_PORT,
    HBONE_PORT,
    Capture,
    Family,
    of_family,
)

# Chains by table.
CHAINS = {
    "raw": ("ISTIO_INBOUND", "ISTIO_OUTPUT_DNS"),
    "nat": (
        "ISTIO_INBOUND", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT", "ISTIO_OUTPUT_DNS", "ISTIO_REDIRECT",
    ),
}  # fmt: skip
_OURS = "-m comment --comment meshcore"
_LOOPBACK = {"ipv4": "127.0.0.1/32", "ipv6": "::1/128"}
# What the sidecar's connections to the application come from: `TO_APPLICATION` in `dial.rs`.
_TO_APPLICATION = {"ipv4": "127.0.0.6/32", "ipv6": "::6/128"}


def restore(capture: Capture, family: Family, saved: str) -> str:
    """Returns what puts the capture in force in place of what `saved` has of ours.

    Args:
        capture: What is wanted.
        family: Which of the two programs it is for.
        saved: What `iptables-save` or `ip6tables-save` said.
    """
    wanted = {"nat": _nat(capture, family)}
    if capture.dns_port is not None:
        wanted["raw"] = _raw(capture, family)
    parts: list[str] = []
    for table, chains in CHAINS.items():
        if table in wanted:
            declared = [f":{chain} - [0:0]" for chain in chains]  # made, or emptied
            body = [*declared, *_without_jumps(saved, table), *wanted[table]]
            parts += [f"*{table}", *body, "COMMIT"]
        else:
            parts += _cleared(saved, table)
    return "\n".join(parts) + "\n"


def clear(saved: str) -> str:
    """Returns what takes all of ours out; nothing when there is nothing of ours."""
    lines = [line for table in CHAINS for line in _cleared(saved, table)]
    return "\n".join(lines) + "\n" if lines else ""


def ours(saved: str) -> list[str]:
    """Returns the lines that are ours, with a line for each table."""
    found: list[str] = []
    for table, chains in CHAINS.items():
        if not _is_ours(saved, table):
            continue
        rules = [r for r in _rules(saved, table) if _is_our_jump(r) or r.split()[1] in chains]
        found += [f"*{table}", *rules]
    return found


def foreign(saved: str) -> list[str]:
    """Returns rules that lead to chains of our names and are not ours: somebody else's capture."""
    return [
        rule
        for table, chains in CHAINS.items()
        for rule in _rules(saved, table)
        if rule.split()[-1] in chains and rule.split()[1] not in chains and not _is_our_jump(rule)
    ]


def _nat(capture: Capture, family: Family) -> list[str]:
    jumps = [f"-A OUTPUT -p tcp {_OURS} -j ISTIO_OUTPUT"]
    rules: list[str] = []
    if capture.inbound_port is not None:
        jumps.insert(0, f"-A PREROUTING -p tcp {_OURS} -j ISTIO_INBOUND")
        redirect = f"-j REDIRECT --to-ports {capture.inbound_port}"
        rules += _inbound(capture)
        rules.append(f"-A ISTIO_IN_REDIRECT -p tcp {redirect}")
    rules.append(f"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {capture.outbound_port}")
    rules += [f"-A ISTIO_OUTPUT {rule}" for rule in _outbound(capture, family)]
    if capture.dns_port is not None:
        jumps.append(f"-A OUTPUT -p udp {_OURS} -j ISTIO_OUTPUT_DNS")
        rules += [f"-A ISTIO_OUTPUT_DNS -m owner {o} -j RETURN" for o in _owners(capture)]
        rules += [f"-A ISTIO_OUTPUT_DNS {rule}" for rule in _dns(capture, family, "udp")]
    return [*jumps, *rules]


def _inbound(capture: Capture) -> list[str]:
    skipped = capture.inbound_skipped
    rules = [f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN" for port in skipped]
    if capture.inbound_ports is None:
        return [*rules, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"]
    wanted = [f"--dport {port} -j ISTIO_IN_REDIRECT" for port in capture.inbound_ports]
    return [*rules, *(f"-A ISTIO_INBOUND -p tcp {rule}" for rule in wanted)]


def _outbound(capture: Capture, family: Family) -> list[str]:
    loopback, has_dns = _LOOPBACK[family], capture.dns_port is not None
    rules = [f"-p tcp --dport {port} -j RETURN" for port in capture.outbound_ports_excluded]
    rules.append(f"-s {_TO_APPLICATION[family]} -o lo -j RETURN")
    not_tunnels = f"-m multiport ! --dports {DNS_PORT},{HBONE_PORT}"
    to_itself = f"! -d {loopback} -o lo -p tcp {not_tunnels}"
    on_lo = f"-o lo -p tcp ! --dport {DNS_PORT}" if has_dns else "-o lo"
    for owner in _owners(capture):
        if capture.inbound_port is not None:
            # The application calls its own service: policy holds as for any caller.
            rules.append(f"{to_itself} -m owner {owner} -j ISTIO_IN_REDIRECT")
        rules.append(f"{on_lo} -m owner ! {owner} -j RETURN")
        rules.append(f"-m owner {owner} -j RETURN")
    rules += _dns(capture, family, "tcp")
    rules.append(f"-d {loopback} -j RETURN")
    excluded = of_family(capture.outbound_ranges_excluded, family)
    rules += [f"-d {block} -j RETURN" for block in excluded]
    rules += [f"-p tcp --dport {port} -j ISTIO_REDIRECT" for port in capture.outbound_ports]
    ranges = capture.ranges(family)
    return [*rules, *([] if ranges is None else [f"-d {b} -j ISTIO_REDIRECT" for b in ranges]),
            *(["-j ISTIO_REDIRECT"] if ranges is None else [])]  # fmt: skip


def _dns(capture: Capture, family: Family, protocol: str) -> list[str]:
    if capture.dns_port is None:
        return []
    redirect = f"-p {protocol} --dport {DNS_PORT} -j REDIRECT --to-ports {capture.dns_port}"
    return [f"-d {server} {redirect}" for server in of_family(capture.nameservers, family)]


def _raw(capture: Capture, family: Family) -> list[str]:
    """Zones of connections for DNS: the port that an application asks from may also be ours."""
    servers = of_family(capture.nameservers, family)
    rules = [
        f"-A PREROUTING -p udp {_OURS} -j ISTIO_INBOUND",
        f"-A OUTPUT -p udp {_OURS} -j ISTIO_OUTPUT_DNS",
    ]
    out = "-A ISTIO_OUTPUT_DNS -p udp"
    for owner in _owners(capture):
        rules.append(f"{out} --dport {DNS_PORT} -m owner {owner} -j CT --zone 1")
        rules.append(f"{out} --sport {capture.dns_port} -m owner {owner} -j CT --zone 2")
    rules += [f"{out} -d {server} --dport {DNS_PORT} -j CT --zone 2" for server in servers]
    back = f"-p udp --sport {DNS_PORT} -j CT --zone 1"
    return [*rules, *(f"-A ISTIO_INBOUND -s {server} {back}" for server in servers)]


def _owners(capture: Capture) -> list[str]:
    users = [f"--uid-owner {uid}" for uid in capture.uids]
    return [*users, *(f"--gid-owner {gid}" for gid in capture.gids)]


def _cleared(saved: str, table: str) -> list[str]:
    if not _is_ours(saved, table):
        return []
    chains = [chain for chain in CHAINS[table] if chain in _chains(saved, table)]
    emptied = [f":{chain} - [0:0]" for chain in chains]
    removed = [f"-X {chain}" for chain in chains]
    return [f"*{table}", *emptied, *_without_jumps(saved, table), *removed, "COMMIT"]


def _is_ours(saved: str, table: str) -> bool:
    return any(_is_our_jump(rule) for rule in _rules(saved, table))


def _is_our_jump(rule: str) -> bool:
    return f"{_OURS} -j ISTIO_" in rule.replace('"', "")


def _without_jumps(saved: str, table: str) -> list[str]:
    jumps = [rule for rule in _rules(saved, table) if _is_our_jump(rule)]
    return [rule.replace("-A ", "-D ", 1) for rule in jumps]


def _rules(saved: str, table: str) -> Iterable[str]:
    return [line for line in _lines(saved, table) if line.startswith("-A ")]


def _chains(saved: str, table: str) -> set[str]:
    return {line.split()[0][1:] for line in _lines(saved, table) if line.startswith(":")}


def _lines(saved: str, table: str) -> list[str]:
    lines, current = [], ""
    for line in saved.splitlines():
        if line.startswith("*"):
            current = line[1:].strip()
        elif current == table:
            lines.append(line.strip())
    return lines
