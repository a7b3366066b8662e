"""Workloads that register themselves: `group.rs`."""

from typing import Any, TypeAlias, TypedDict

from meshcore.config.resources.origin import Labels, Origin

Check: TypeAlias = dict[str, dict[str, Any]]
"""`ProbeCheck`."""


class Probe(TypedDict):
    """How the sidecar finds out whether the application is ready."""

    initial_delay_ms: int
    timeout_ms: int
    period_ms: int
    success_threshold: int
    failure_threshold: int
    check: Check


class WorkloadGroup(TypedDict):
    """What all workloads that register with a group have in common."""

    origin: Origin
    name: str
    namespace: str
    labels: Labels
    ports: dict[str, int]
    service_account: str
    locality: str
    weight: int
    probe: Probe | None
