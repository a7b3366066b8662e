"""A kind is one file in each room, and nothing else."""

from pathlib import Path

import pytest

from meshcore import config
from meshcore.config.check import _checker_of
from meshcore.config.compile import _compiler_of
from meshcore.config.models import kind_named, kinds_of_group, module_of, names_in

ROOM = Path(config.__file__).parent
KINDS = [
    kind
    for group in ("", "networking.istio.io", "security.istio.io", "meshcore.io")
    for kind in kinds_of_group(group)
]


def test_the_covered_kinds_are_found():
    assert sorted(KINDS) == [
        "AuthorizationPolicy", "DestinationRule", "Gateway", "MeshConfig", "PeerAuthentication",
        "Secret", "Service", "ServiceEntry", "VirtualService", "WorkloadEntry", "WorkloadGroup",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_file_in_each_room(kind):
    module = module_of(kind)
    for room in ("models", "check", "compile"):
        assert module in names_in(f"meshcore.config.{room}")
    assert kind_named(kind) is not None
    assert _checker_of(kind) is not None
    assert kind == "MeshConfig" or _compiler_of(kind) is not None  # settings are no resource


def test_configuration_files_are_of_two_screens_or_little_more():
    long = {p.name: n for p in ROOM.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
