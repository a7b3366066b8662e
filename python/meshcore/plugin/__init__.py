"""What an author of policies imports: decorators, what hooks see, and what they decide.

Example:
    @authorize(reads=["source.principal"], cache="30s")
    def only_web(request: Request) -> Decision:
        return allow() if request.principal == "spiffe://demo/ns/default/sa/web" else deny()
"""

from meshcore.errors import PluginError, PluginRejected, RequestGone, UndeclaredAttribute
from meshcore.plugin.decisions import Decision, Deny, Modify, RouteTo, abstain, allow, deny
from meshcore.plugin.hooks import authorize, on_request, on_response, route, telemetry
from meshcore.plugin.request import Headers, Record, Request, Response

__all__ = [
    "Decision",
    "Deny",
    "Headers",
    "Modify",
    "PluginError",
    "PluginRejected",
    "Record",
    "Request",
    "RequestGone",
    "Response",
    "RouteTo",
    "UndeclaredAttribute",
    "abstain",
    "allow",
    "authorize",
    "deny",
    "on_request",
    "on_response",
    "route",
    "telemetry",
]
