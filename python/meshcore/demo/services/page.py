"""The front page as HTML, without scripts, fonts or pictures from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Any

from meshcore.demo.services.catalog import TEAS

_OF_CUPS = 5
_STYLE = """
body { margin: 0; font: 17px/1.6 Georgia, serif; background: #faf7f2; color: #2b2622 }
main { max-width: 34rem; margin: 8vh auto; padding: 0 1.5rem }
h1 { font-weight: normal; font-size: 2.4rem; margin: .2rem 0 }
nav a { color: #6b625a; margin-right: 1.2rem } nav a.here { color: inherit; text-decoration: none }
section { border-top: 1px solid #ddd4c8; padding: 1rem 0 }
blockquote { margin: 0; font-style: italic }
.cups { font-size: 1.6rem; letter-spacing: .3rem }
.ink { color: #2b2622 } .colour { color: #c2410c }
.none { color: #d6cdc1 } .why { color: #b91c1c; font: 14px/1.5 monospace }
footer { color: #8a8076; font-size: .85rem }
"""


def page(found: Mapping[str, Any]) -> str:
    """Returns the page of a tea."""
    here, tea, tastings = found["tea"], found["catalog"], found["tastings"]
    links = "".join(
        f'<a href="/tea/{name}"{" class=here" if name == here else ""}>{one["title"]}</a>'
        for name, one in TEAS.items()
    )
    title = escape(str(tea.get("title", here)))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><main><nav>{links}</nav><h1>{title}</h1>"
        f"<section>{_catalog(tea)}</section><section>{_tastings(tastings)}</section>"
        f"<footer>{_served_by(tastings)} Reload for another.</footer></main></html>\n"
    )


def _catalog(tea: Mapping[str, Any]) -> str:
    if "why" in tea:
        return _why("catalog", tea)
    return escape(f"From {tea['from']}. Water at {tea['water']}, {tea['minutes']} minutes.")


def _tastings(tastings: Mapping[str, Any]) -> str:
    if "why" in tastings:
        return _why("tastings", tastings)
    quote = f"<blockquote>{escape(tastings['note'])}</blockquote>"
    ratings = tastings.get("ratings")
    if ratings is None:
        return quote
    if "why" in ratings:
        return quote + _why("ratings", ratings)
    cups = int(ratings["cups"])
    drawn = "●" * cups + f"<span class=none>{'●' * (_OF_CUPS - cups)}</span>"
    return f'{quote}<div class="cups {escape(tastings["drawn"])}">{drawn}</div>'


def _why(service: str, answer: Mapping[str, Any]) -> str:
    said = escape(f"{service} answered {answer['status']}: {answer['why']}")
    return f"<div class=why>{said}</div>"


def _served_by(tastings: Mapping[str, Any]) -> str:
    running = tastings.get("version")
    return f"tastings {escape(running)} answered." if running else "tastings did not answer."
