"""Charts as SVG: horizontal bars, written by hand, without a library."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH = 900
LABEL = 430
ROW = 26
GREY, BLUE = "#8a8f98", "#2563eb"


def write(path: Path, title: str, unit: str, rows: Sequence[tuple[str, float, bool]]) -> None:
    """Write a chart to `path`. A row is a label, its value, and whether it is ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bars(title, unit, rows), encoding="utf-8")


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """Return the SVG of one chart. The longest bar has the largest value."""
    height = 44 + ROW * len(rows)
    largest = max((value for _, value, _ in rows), default=0) or 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="22" font-weight="600">{escape(title)}</text>',
    ]
    for number, (label, value, is_ours) in enumerate(rows):
        parts += _row(
            36 + ROW * number, label, f"{_number(value)} {unit}", value / largest, is_ours
        )
    return "\n".join([*parts, "</svg>\n"])


def _row(top: int, label: str, text: str, share: float, is_ours: bool) -> list[str]:
    length = max(1, round(share * (WIDTH - LABEL - 130)))
    middle = top + ROW // 2 + 4
    return [
        f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LABEL}" y="{top + 3}" width="{length}" height="{ROW - 8}" rx="2" '
        f'fill="{BLUE if is_ours else GREY}"/>',
        f'<text x="{LABEL + length + 6}" y="{middle}">{escape(text)}</text>',
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
