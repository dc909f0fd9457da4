"""What `make bench` prints and draws: verdicts, kept figures, charts that browsers can read."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import charts, sampler, suite
from tests.bench.figures import NO_PROFILE, Figure, reasons, table


@pytest.mark.parametrize(
    ("value", "bar", "at_most", "verdict"),
    [
        (1.5, 1.5, True, "pass"),
        (1.51, 1.5, True, "short"),
        (0.75, 0.75, False, "pass"),
        (0.74, 0.75, False, "short"),
        (9.0, None, True, ""),
    ],
)
def test_a_figure_meets_its_bar(
    value: float, bar: float | None, at_most: bool, verdict: str
) -> None:
    assert Figure("a", value, "ms", bar, at_most).verdict == verdict


def test_the_table_of_a_bench_ends_with_how_many_bars_are_met() -> None:
    lines = table([Figure("a", 1, "ms", 2), Figure("b", 3, "ms", 2), Figure("c", 3, "ms")])
    assert [line.split()[0] for line in lines[:2]] == ["pass", "short"]
    assert lines[-1].split() == ["1", "of", "2", "bars", "are", "met"]


def test_figures_of_earlier_runs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    old = [
        Figure("a", 1, "ms", 2),
        Figure("b", 3, "times", 2, at_most=False, note="n", why=("x", "y")),
    ]
    path.write_text(json.dumps({"figures": [figure.as_json() for figure in old]}))
    new = Figure("a", 5, "ms", 2)
    assert suite._merged(path, [new]) == [new, old[1]]


def test_short_figures_have_their_reasons_those_with_the_same_together() -> None:
    why = ("of two parts", "  one is large")
    lines = reasons(
        [
            Figure("a", 3, "ms", 2, why=why),
            Figure("met", 1, "ms", 2, why=("none",)),
            Figure("b", 4, "ms", 2, why=why),
            Figure("c", 5, "ms", 2),
        ]
    )
    assert lines == [
        "  a",
        "  b",
        "    of two parts",
        "    one is large",
        "  c",
        f"    {NO_PROFILE}",
    ]


def test_the_page_of_a_run_has_the_bars_and_why_they_are_short() -> None:
    page = suite._page([Figure("a", 3, "ms", 2, why=("of two parts",))])
    assert "  short  a" in page
    assert "\n  a\n    of two parts\n" in page


def test_samples_are_summed_up_by_the_innermost_frame_with_a_role() -> None:
    stacks = """\
main (dispatcher/__main__.py);run (dispatcher/engine/sending/deliverer.py);send (dispatcher/transport/sender.py) 3
main (dispatcher/__main__.py);run_once (dispatcher/engine/sending/recorder.py);execute (asyncpg/protocol.pyx);x (enum.py) 2
main (dispatcher/__main__.py);run (asyncio/runners.py) 1
"""
    counts = sampler.by_role(stacks)
    assert counts == {"transport": 3, "driver": 2, sampler.LOOP: 1}
    assert sampler.said(counts).endswith("transport 50%, driver 33%, event loop and kernel 17%")


def test_a_chart_is_xml_with_a_bar_for_each_row() -> None:
    drawn = charts.bars("A < B", "/s", [("x & y", 2.0, True), ("z", 0.0, False)])
    root = ElementTree.fromstring(drawn)  # noqa: S314 - we wrote it
    labels = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels == ["A < B", "x & y", "2 /s", "z", "0 /s"]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 3  # one is the background
