"""Results as a picture: a panel for each scenario, a bar for each row. Plain SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benches.peers.results import Result

WIDTH, COLUMNS, GAP = 1000, 2, 24
LABEL, VALUE, BAR, STEP, TITLE = 150, 150, 14, 22, 46
PANEL = (WIDTH - GAP * (COLUMNS + 1)) // COLUMNS
# Of a title, so that it is not wider than its panel.
TITLE_CHARACTERS = 64

_STYLE = """
  .back { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .unit, .value { fill: #59636e; font-size: 12px }
  .bar { fill: #afb8c1 } .meshcore { fill: #0969da } .floor { fill: #d1d9e0 }
  .spread { stroke: #59636e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #e6edf3 } .unit, .value { fill: #9198a1 }
    .bar { fill: #4d5560 } .meshcore { fill: #4493f8 } .floor { fill: #2a313c }
    .spread { stroke: #9198a1 }
  }
"""


def draw(results: Sequence[Result]) -> str:
    """Returns the picture; less is better in all of it."""
    bottoms = [GAP] * COLUMNS
    panels = []
    for result in results:
        column = bottoms.index(min(bottoms))
        left = GAP + column * (PANEL + GAP)
        panels.append(_panel(result, left, bottoms[column]))
        bottoms[column] += TITLE + STEP * len(result.values) + GAP
    height = max(bottoms)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img">\n<title>Side by side</title>\n'
        f'<style>{_STYLE}</style>\n<rect class="back" width="100%" height="100%"/>\n'
        f"{''.join(panels)}</svg>\n"
    )


def _panel(result: Result, left: int, top: int) -> str:
    most = max((result.spread(row).high for row in result.values), default=0.0) or 1.0
    scale = (PANEL - LABEL - VALUE) / most
    bars = "".join(
        _bar(result, row, scale, (left, top + TITLE + STEP * number))
        for number, row in enumerate(result.values)
    )
    return (
        f'<text class="title" x="{left}" y="{top + 14}">{escape(result.title)}</text>\n'
        f'<text class="unit" x="{left}" y="{top + 32}">{result.unit}, of {result.against}</text>\n'
        f"{bars}"
    )


def _bar(result: Result, row: str, scale: float, at: tuple[int, int]) -> str:
    (left, top), spread, ratio = at, result.spread(row), result.ratio(row)
    kind = row.split(",", 1)[0]
    start, middle = left + LABEL, top + BAR // 2
    value = f"{spread.median:,.0f}" if spread.median >= 100 else f"{spread.median:.2f}"
    beside = f"{value} ({ratio.median:.2f})" if ratio else value
    end = start + max(spread.median, spread.high) * scale + 8
    return (
        f'<text x="{start - 8}" y="{top + 12}" text-anchor="end">{escape(row)}</text>\n'
        f'<rect class="bar {escape(kind)}" x="{start}" y="{top}" height="{BAR}" rx="2"'
        f' width="{max(1.0, spread.median * scale):.1f}"/>\n'
        f'<line class="spread" x1="{start + spread.low * scale:.1f}" y1="{middle}"'
        f' x2="{start + spread.high * scale:.1f}" y2="{middle}"/>\n'
        f'<text class="value" x="{end:.1f}" y="{top + 12}">{beside}</text>\n'
    )
