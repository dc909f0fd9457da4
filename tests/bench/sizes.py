"""How much a run measures: rounds, and numbers of deliveries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`number` deliveries a round; of `scale`: ended and pending ones, and those due at one moment.

    `steady` deliveries a round of `throughput`, so that its start and its end take little of it.
    Ended deliveries took 1.2 times as many attempts.
    """

    rounds: int = 5
    number: int = 10_000
    steady: int = 40_000
    ended: int = 833_334
    pending: int = 1_000_000
    at_once: int = 100_000
