"""The catalogue of hostile receivers: what they do, and the right verdict of a POST to each.

`served` runs them; `python -m tests.hostile_receivers` does so in a process of its own.
"""

from tests.hostile_receivers.answers import ANSWERS
from tests.hostile_receivers.behaviour import Behaviour
from tests.hostile_receivers.connections import CONNECTIONS
from tests.hostile_receivers.floods import FLOODS
from tests.hostile_receivers.tls import TLS

CATALOGUE: dict[str, Behaviour] = {**ANSWERS, **FLOODS, **CONNECTIONS, **TLS}
