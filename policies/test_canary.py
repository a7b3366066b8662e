"""Tests of canary.py."""

from pathlib import Path

import pytest

from meshcore.plugin import RouteTo
from meshcore.testing import PluginTest, request


@pytest.fixture
def plugin() -> PluginTest:
    """The plugin beside this file."""
    return PluginTest(str(Path(__file__).with_name("canary.py")))


def test_testers_go_to_the_next_version(plugin: PluginTest) -> None:
    outcome = plugin.route(request(host="reviews:9080", headers={"X-Canary": "yes"}))
    assert outcome.decision == RouteTo(subset="v3", reason="canary header")


def test_everybody_else_goes_where_declared(plugin: PluginTest) -> None:
    assert plugin.route(request(host="reviews")).abstained
    assert plugin.route(request(host="reviews", headers={"x-canary": "no"})).abstained
    assert plugin.route(request(host="ratings", headers={"x-canary": "yes"})).abstained
