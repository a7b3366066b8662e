"""What of a workload's traffic is captured."""

from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any, Literal

Family = Literal["ipv4", "ipv6"]

# Source: Istio's user and group of the sidecar.
USER = 1337
# Never captured: HBONE, merged metrics, health, metrics. Source: Istio's fixed exclusions.
OWN_PORTS = (15008, 15020, 15021, 15090)
HBONE_PORT = 15008
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Capture:
    """Traffic of one workload, and the sidecar that it goes to."""

    outbound_port: int = 15001
    inbound_port: int | None = 15006
    """`None` captures nothing of what comes in."""
    dns_port: int | None = None
    """`None` leaves DNS alone."""
    uids: tuple[int, ...] = (USER,)
    """Users whose own connections pass: those of the sidecar."""
    gids: tuple[int, ...] = (USER,)
    """Groups whose own connections pass."""
    own_ports: tuple[int, ...] = OWN_PORTS
    """Ports of the sidecar itself that others call."""
    inbound_ports: tuple[int, ...] | None = None
    """Ports that are captured; `None` is all of them."""
    inbound_ports_excluded: tuple[int, ...] = ()
    outbound_ranges: tuple[str, ...] | None = None
    """Destinations that are captured, as CIDRs; `None` is all of them."""
    outbound_ranges_excluded: tuple[str, ...] = ()
    outbound_ports: tuple[int, ...] = ()
    """Destination ports that are captured whatever the range."""
    outbound_ports_excluded: tuple[int, ...] = ()
    nameservers: tuple[str, ...] = ()
    """Addresses whose port 53 is redirected to `dns_port`."""

    def to_dict(self) -> dict[str, object]:
        """Returns the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Capture":
        """Reads what `to_dict` returned."""
        lists: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        return cls(**lists)

    @property
    def inbound_skipped(self) -> list[int]:
        """Ports that are never captured when somebody calls them."""
        return sorted({*self.own_ports, *self.inbound_ports_excluded})

    def ranges(self, family: Family) -> list[str] | None:
        """Returns the captured ranges of a family; `None` is all."""
        return None if self.outbound_ranges is None else of_family(self.outbound_ranges, family)


def of_family(blocks: tuple[str, ...], family: Family) -> list[str]:
    """Returns the addresses and CIDRs of one family, as networks."""
    version = 4 if family == "ipv4" else 6
    networks = (ip_network(block, strict=False) for block in blocks)
    return [str(network) for network in networks if network.version == version]
