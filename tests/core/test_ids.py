import pytest

from dispatcher.core import ids

DAY = 86_400_000 << ids.TIME_SHIFT
EPOCH = ids.EPOCH_MS / 1000


@pytest.mark.parametrize(
    ("high", "now_days", "days", "expected"),
    [
        (7 * DAY, 9, 2, 5 * DAY),
        (ids.LARGEST_ID, 9, 2, 7 * DAY),  # no id is later than now
        (ids.LARGEST_ID, 9, 0, 9 * DAY),
        (DAY, 9, 2, 0),
        (ids.LARGEST_ID, -9, 2, 0),  # a clock before the first id
    ],
)
def test_the_days_before_an_id_end_at_it_or_now(
    high: int, now_days: int, days: int, expected: int
) -> None:
    assert ids.days_before(high, EPOCH + now_days * 86_400, days) == expected
