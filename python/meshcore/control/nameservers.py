"""The resolvers that programs of this host ask."""

import os
from contextlib import suppress
from ipaddress import ip_address

RESOLV_CONF = "/etc/resolv.conf"
# Source: MAXNS of resolver(3).
_MOST = 3


def nameservers(path: str = RESOLV_CONF) -> list[str]:
    """Returns the addresses that `path` names, as resolver(3) reads it; 127.0.0.1 without any."""
    found: list[str] = []
    with suppress(OSError), open(os.fspath(path), encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - takes memory
        for line in file:
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                with suppress(ValueError):  # the resolver passes over it too
                    found.append(str(ip_address(words[1].partition("%")[0])))
    return list(dict.fromkeys(found))[:_MOST] or ["127.0.0.1"]
