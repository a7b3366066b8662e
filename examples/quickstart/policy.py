"""Reviews of books that are not out yet are for the press."""

from meshcore.plugin import Decision, Request, abstain, authorize, deny


@authorize(match={"paths": ["/unreleased"]}, reads=["request.headers[x-press-pass]"], cache="30s")
def only_the_press(request: Request) -> Decision:
    """Asked once for each pass; until the 30 seconds are over, Rust remembers the answer."""
    if request.headers.get("x-press-pass") == "tintin":
        return abstain()
    return deny(reason="not out yet: show a press pass")
