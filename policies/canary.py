"""Testers see the next version: whoever says so in a header goes to subset v3 of reviews."""

from meshcore.plugin import Request, RouteTo, route

HEADER = "x-canary"


@route(hosts=["reviews", "reviews.default.svc.cluster.local"], reads=[f"request.headers[{HEADER}]"])
def canary(request: Request) -> RouteTo | None:
    """Sends testers to v3 and leaves all others to the declared routes."""
    if request.headers[HEADER] == "yes":
        return RouteTo(subset="v3", reason="canary header")
    return None
