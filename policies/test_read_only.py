"""Tests of read_only.py."""

from pathlib import Path

import pytest

from meshcore.testing import PluginTest, request

HOME = "spiffe://cluster.local/ns/default/sa/web"
ELSEWHERE = "spiffe://cluster.local/ns/shop/sa/web"


@pytest.fixture
def plugin() -> PluginTest:
    """The plugin beside this file."""
    return PluginTest(str(Path(__file__).with_name("read_only.py")))


@pytest.mark.parametrize(
    ("method", "principal", "status"),
    [
        ("GET", ELSEWHERE, 200),
        ("HEAD", None, 200),
        ("POST", HOME, 200),
        ("POST", ELSEWHERE, 405),
        ("POST", None, 405),
        ("get", ELSEWHERE, 405),
    ],
)
def test_only_home_may_change_things(
    plugin: PluginTest, method: str, principal: str | None, status: int
) -> None:
    asked = request(method, principal=principal) if principal else request(method)
    assert plugin.authorize(asked).status == status


def test_decisions_may_be_remembered(plugin: PluginTest) -> None:
    plugin.assert_cache_sound(request("POST", principal=ELSEWHERE), request("GET"))
