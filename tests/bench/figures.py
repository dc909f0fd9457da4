"""Figures of a benchmark, and the bars that they are compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

NO_PROFILE = "no profile is taken of this one"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `bar` is the limit: the most if `at_most`, else the least.

    `why` are lines on what the value is made of, shown if the bar is missed.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_most: bool = True
    note: str = ""
    why: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`pass` or `short`, or nothing without a bar."""
        if self.bar is None:
            return ""
        is_met = self.value <= self.bar if self.at_most else self.value >= self.bar
        return "pass" if is_met else "short"

    def line(self) -> str:
        """One line of the table of bars."""
        bar = ""
        if self.bar is not None:
            bar = f"  bar {'≤' if self.at_most else '≥'} {_short(self.bar)}"
        value = f"{_short(self.value):>8} {self.unit:<11}"
        return f"  {self.verdict:<5}  {self.name:<58} {value}{bar:<14}  {self.note}".rstrip()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Figure":
        values = {name: value for name, value in document.items() if name != "verdict"}
        return cls(**{**values, "why": tuple(values.get("why", ()))})

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "verdict": self.verdict or None}


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a benchmark: lines to read, figures to compare."""

    lines: list[str]
    figures: list[Figure] = field(default_factory=list)


def table(figures: Iterable[Figure]) -> list[str]:
    """Lines of all figures, then how many bars are met."""
    listed = list(figures)
    judged = [figure for figure in listed if figure.bar is not None]
    met = sum(figure.verdict == "pass" for figure in judged)
    return [*(figure.line() for figure in listed), f"  {met} of {len(judged)} bars are met"]


def reasons(figures: Iterable[Figure]) -> list[str]:
    """Lines that say why each short figure is short; figures with the same reason together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for figure in figures:
        if figure.verdict == "short":
            together.setdefault(figure.why, []).append(figure.name)
    lines: list[str] = []
    for why, names in together.items():
        lines += [f"  {name}" for name in names]
        lines += [f"    {line.strip()}" for line in why or (NO_PROFILE,)]
    return lines


def _short(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
