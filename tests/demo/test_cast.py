"""What the receivers of the demo answer, and what their webhooks want."""

import pytest

from dispatcher.core import event_patterns
from dispatcher.demo.cast import OTHERS, QUICK, ROLES, SLOW_SECONDS, reply
from dispatcher.demo.samples import samples


@pytest.mark.parametrize(
    ("role", "attempt", "answer"),
    [
        ("quick", "1", (0, 200)),
        ("slow", "1", (SLOW_SECONDS, 200)),
        ("failing", "4", (0, 500)),
        ("recovering", "1", (0, 503)),
        ("recovering", "2", (0, 503)),
        ("recovering", "3", (0, 200)),
        ("recovering", "?", (0, 200)),
        ("gone", "1", (0, 410)),
    ],
)
def test_each_receiver_answers_as_its_role(
    role: str, attempt: str, answer: tuple[float, int]
) -> None:
    actual = reply(role, attempt)
    assert (actual.seconds, actual.status) == answer


def test_every_role_gets_one_of_the_samples() -> None:
    types = {sample.type for sample, _ in zip(samples(), range(17), strict=False)}
    for role in ROLES:
        patterns = [event_patterns.parse_pattern(pattern) for pattern in role.events]
        assert any(
            pattern in ("*", type_) or type_.startswith(pattern.removesuffix("*"))
            for pattern in patterns
            for type_ in types
        ), role.name


def test_only_the_quick_receiver_keeps_the_configured_schedule() -> None:
    forms = [role.webhook("http://127.0.0.1/", role.name, None) for role in (QUICK, *OTHERS)]
    assert [form.retry is None for form in forms] == [True, False, False, False, False]
