"""Tests of tenant_plan.py."""

from pathlib import Path

import pytest

from meshcore.testing import PluginTest, request


@pytest.fixture
def plugin() -> PluginTest:
    """The plugin beside this file."""
    return PluginTest(str(Path(__file__).with_name("tenant_plan.py")))


def test_paying_tenants_pass_and_their_plan_is_told(plugin: PluginTest) -> None:
    outcome = plugin.authorize(request("GET", "/premium/x", headers={"x-tenant": "acme"}))
    assert outcome.allowed
    assert outcome.set_headers == {"x-plan": "premium"}


def test_others_are_told_why_not(plugin: PluginTest) -> None:
    free = plugin.authorize(request("GET", "/premium/x", headers={"x-tenant": "zed"}))
    assert (free.status, free.code) == (403, "TP001")
    assert plugin.authorize(request("GET", "/premium/x")).code == "TP000"


def test_other_paths_are_not_asked_for(plugin: PluginTest) -> None:
    assert plugin.authorize(request("GET", "/other")).abstained


def test_decisions_may_be_remembered(plugin: PluginTest) -> None:
    tenants = [{"x-tenant": "acme"}, {"x-tenant": "zed"}, {}]
    plugin.assert_cache_sound(*(request("GET", "/premium/", headers=t) for t in tenants))
