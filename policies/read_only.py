"""Other namespaces may look and not touch: only safe methods are let in from elsewhere."""

from meshcore.plugin import Decision, Request, abstain, authorize, deny

# Methods that must not change anything on the server. Source: RFC 9110 section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Who may do everything.
HOME = "default"


@authorize(reads=["source.namespace", "request.method"], cache="5m")
def read_only(request: Request) -> Decision:
    """Leaves safe methods, and everything from home, to the other policies."""
    if request.method in SAFE_METHODS or request.namespace == HOME:
        return abstain()
    return deny(405, f"{request.method} is for callers of namespace {HOME}", "read-only")
