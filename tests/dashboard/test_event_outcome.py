"""How the deliveries of an event went, told from the event alone if it has all of them."""

from tests.dashboard.words.test_search_sentence import FIVES, delivery, event


def test_the_deliveries_of_an_event_are_counted_by_how_they_went() -> None:
    of = event(
        delivery("PENDING", id="dlv_7"),
        delivery("PENDING", FIVES, id="dlv_6"),
        delivery("FAILED", FIVES, id="dlv_5"),
        delivery("DELIVERED", FIVES, id="dlv_4"),
        delivery("DELIVERED", FIVES, id="dlv_3"),
        delivery("FAILED", FIVES, id="dlv_2"),
        delivery("CANCELLED", id="dlv_1"),
    )
    outcome = of.count_deliveries()
    assert outcome is not None
    assert outcome.counts == (
        ("delivered", 2),
        ("failed", 2),
        ("retrying", 1),
        ("waiting", 1),
        ("cancelled", 1),
    )
    assert (outcome.failed_delivery_id, outcome.place, outcome.is_partial) == ("dlv_5", None, False)
    waiting = event(waiting="inbox").count_deliveries()
    assert waiting is not None
    assert waiting.place == "inbox"
