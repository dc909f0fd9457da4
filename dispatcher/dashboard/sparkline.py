"""Draw the attempts of a day as small bars: the path of an SVG element."""

from collections.abc import Iterable, Sequence

HEIGHT = 26
LEAST = 1.5
"""The height of the highest bar, and of the lowest that people still see."""
STEP = 3
WIDTH = 2


def sparkline(points: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """Return two paths: bars of all attempts, and in front of them bars of those that failed.

    `points` are attempts and failures. Where all attempts failed, only the second path has a bar.
    Each path is one SVG element for all points, because a page has 50 of these pictures.
    """
    highest = max((attempts for attempts, _ in points), default=0) or 1
    whole = (attempts if failures < attempts else 0 for attempts, failures in points)
    return _bars(whole, highest), _bars((failures for _, failures in points), highest)


def _bars(numbers: Iterable[int], highest: int) -> str:
    """Return a path with a bar for each number above 0, from the bottom line upwards."""
    return "".join(
        f"M{index * STEP} {HEIGHT + 1}v-{max(HEIGHT * number / highest, LEAST):.3g}"
        f"h{WIDTH}V{HEIGHT + 1}z"
        for index, number in enumerate(numbers)
        if number
    )
