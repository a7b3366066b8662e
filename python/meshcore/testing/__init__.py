"""Tests of plugins, without sockets: requests are made here, hooks run under the same rules.

Example:
    def test_only_web():
        plugin = PluginTest("policies/only_web.py")
        assert plugin.authorize(request(principal="spiffe://demo/ns/default/sa/web")).allowed
        plugin.assert_cache_sound(request())
"""

from meshcore.testing.messages import TestRequest, TestResponse, request, response
from meshcore.testing.run import (
    Outcome,
    PluginTest,
    assert_cache_sound,
    run_authorize,
    run_request,
    run_response,
    run_route,
)

__all__ = [
    "Outcome",
    "PluginTest",
    "TestRequest",
    "TestResponse",
    "assert_cache_sound",
    "request",
    "response",
    "run_authorize",
    "run_request",
    "run_response",
    "run_route",
]
