"""Only tenants who pay reach /premium/; the application is told the plan."""

from meshcore.plugin import Decision, Request, allow, authorize, deny

# Kept in a file or a database in earnest; read it when the plugin is loaded, not for a request.
PLANS = {"acme": "premium", "zed": "free"}


@authorize(
    match={"paths": ["/premium/"]},
    reads=["request.headers[x-tenant]"],
    cache="30s",
    timeout="20ms",
)
def premium(request: Request) -> Decision:
    """Asks the tenant's plan. Nobody but us may set the header that says it."""
    tenant = request.headers["x-tenant"]
    if tenant is None:
        return deny(401, "say who you are in x-tenant", "TP000")
    if PLANS.get(tenant) != "premium":
        return deny(403, f"{tenant} is not on the premium plan", "TP001")
    return allow(set_headers={"x-plan": "premium"})
