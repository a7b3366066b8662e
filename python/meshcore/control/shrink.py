"""Refuses a change that takes away what protects a mesh, unless somebody confirmed it.

What refuses calls goes with documents that go: a sidecar without them lets everybody in. A file
that was emptied by mistake looks like a mesh that is meant to be open.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from meshcore.config.resources import Mesh, Workload
from meshcore.control.settings import CONFIRM, Wanted
from meshcore.control.workload import endpoints
from meshcore.errors import ConfigError, Diagnostic, Severity

# So many services, or AuthorizationPolicies, may go, unless they are all of them.
FEW = 3
# Names that a message lists.
_SHOWN = 6


def check(
    before: Mapping[str, Any], after: Mesh, wanted: Wanted | None, mesh: Path, state: Path
) -> None:
    """Lets a change pass that opens nothing by what it leaves out, or is confirmed.

    A document that says something else than before was edited on purpose; only what is gone counts.

    Args:
        before: The mesh that is in force.
        after: The mesh that is to be.
        wanted: The workload that the sidecar stands beside; `None` for a control plane.
        mesh: File or directory of the documents.
        state: Directory of the confirmation.

    Raises:
        ConfigError: `state/confirm` is not newer than the change, and the change removes more than
            half of the services or AuthorizationPolicies and more than three, or all of them; all
            that allow; all PeerAuthentications that are STRICT; or the service of the sidecar.
    """
    found = [
        *_services(before, after),
        *(_own(before, after, wanted) if wanted is not None else ()),
        *_authorizations(before, after),
        *_strict(before, after),
    ]
    if not found or _is_confirmed(mesh, state):
        return
    hint = f"to confirm: touch {state / CONFIRM}"
    raise ConfigError(
        [Diagnostic(Severity.ERROR, "MC0301", it, file=str(mesh), hint=hint) for it in found]
    )


def _services(before: Mapping[str, Any], after: Mesh) -> Iterator[str]:
    old = {service["host"] for service in before.get("services", ())}
    gone = old - {service["host"] for service in after["services"]}
    if _are_most(len(gone), len(old)) or (gone and not after["services"]):
        yield f"removes {len(gone)} of {len(old)} services, which may be a mistake"


def _own(before: Mapping[str, Any], after: Mesh, wanted: Wanted) -> Iterator[str]:
    """Finds that nothing would be known any more of what the sidecar still serves."""

    def has_it(services: Iterable[Mapping[str, Any]]) -> bool:
        own = (wanted.service, wanted.namespace)
        return any((service["name"], service["namespace"]) == own for service in services)

    if wanted.has_inbound and has_it(before.get("services", ())) and not has_it(after["services"]):
        yield (
            f"removes {wanted.service}.{wanted.namespace}, the service of this sidecar, whose ports"
            " would stay open without its protocols and policies: end the sidecar instead"
        )


def _authorizations(before: Mapping[str, Any], after: Mesh) -> Iterator[str]:
    old = [it for it in before.get("authorizations", ()) if not it["dry_run"]]
    new = [it for it in after["authorizations"] if not it["dry_run"]]
    gone = _gone(old, after["authorizations"])
    old_allow, new_allow = _that_allow(old), _that_allow(new)
    gone_allow = _that_allow(gone)
    if (gone and not new) or _are_most(len(gone), len(old)):
        what = f"{len(gone)} of {len(old)} AuthorizationPolicies"
    elif gone_allow and not new_allow:
        what, gone = f"{len(gone_allow)} of {len(old_allow)} ALLOW policies", gone_allow
    else:
        return
    opened = _opened(gone, new, after)
    yield f"removes {what} ({_list(map(_name, gone))}){_opens(opened, 'callers that they refuse')}"


def _strict(before: Mapping[str, Any], after: Mesh) -> Iterator[str]:
    old = [it for it in before.get("peer_auths", ()) if _is_strict(it)]
    gone = _gone(old, after["peer_auths"])
    if not gone or any(map(_is_strict, after["peer_auths"])):
        return
    opened = _opens(_opened(gone, (), after), "plain text")
    what = f"{len(gone)} of {len(old)} PeerAuthentications that are STRICT"
    yield f"removes {what} ({_list(map(_name, gone))}){opened}"


def _are_most(gone: int, old: int) -> bool:
    return gone > FEW and 2 * gone > old


def _gone(
    old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    there = set(map(_name, new))
    return [policy for policy in old if _name(policy) not in there]


def _that_allow(policies: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [policy for policy in policies if policy["action"] == "allow"]


def _is_strict(policy: Mapping[str, Any]) -> bool:
    return "strict" in {policy["mode"], *policy["ports"].values()}


def _name(policy: Mapping[str, Any]) -> str:
    origin = policy["origin"]
    return f"{origin['namespace']}/{origin['name']}"


def _opened(
    gone: Iterable[Mapping[str, Any]], kept: Sequence[Mapping[str, Any]], after: Mesh
) -> list[str]:
    """Returns the hosts of `after` that a policy which is gone was for, and none like it is."""
    root = after["settings"]["root_namespace"]

    def actions(policies: Iterable[Mapping[str, Any]], workload: Workload) -> set[str | None]:
        return {it.get("action") for it in policies if _is_for(it, workload, root)}

    lost = list(gone)
    return sorted(
        service["host"]
        for service in after["services"]
        if any(actions(lost, it) - actions(kept, it) for it in endpoints(after, service))
    )


def _is_for(policy: Mapping[str, Any], workload: Workload, root: str) -> bool:
    is_near = policy["origin"]["namespace"] in {root, workload["namespace"]}
    return is_near and policy["selector"].items() <= workload["labels"].items()


def _opens(hosts: Sequence[str], to: str) -> str:
    return f", which opens {_list(hosts)} to {to}" if hosts else ""


def _list(names: Iterable[str]) -> str:
    words = sorted(names)
    more = [f"{len(words) - _SHOWN} more"] if len(words) > _SHOWN else []
    return ", ".join([*words[:_SHOWN], *more])


def _is_confirmed(mesh: Path, state: Path) -> bool:
    try:
        confirmed_ns = (state / CONFIRM).stat().st_mtime_ns
        return confirmed_ns >= max(_changed_ns(mesh))
    except OSError:  # nobody confirmed it, or a file went while we looked
        return False


def _changed_ns(mesh: Path) -> Iterator[int]:
    """Yields when each file or directory changed last, which no copy can set back."""
    yield mesh.stat().st_ctime_ns
    for folder, below, files in os.walk(mesh, onerror=_raise) if mesh.is_dir() else ():
        below[:] = [name for name in below if not name.startswith(".")]
        yield Path(folder).stat().st_ctime_ns
        for name in files:
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                yield Path(folder, name).stat().st_ctime_ns


def _raise(error: OSError) -> NoReturn:
    raise error
