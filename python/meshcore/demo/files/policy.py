"""What no document can say: some teas are not for sale today."""

from meshcore.plugin import Decision, Request, abstain, authorize, deny

SOLD_OUT: set[str] = set()


@authorize(match={"paths": ["/tea/"]}, reads=["request.path"], cache="1m")
def for_sale(request: Request) -> Decision:
    """Asked once for each path; for a minute, Rust remembers the answer."""
    tea = request.path.removeprefix("/tea/")
    return deny(reason=f"{tea} is sold out today") if tea in SOLD_OUT else abstain()
