"""The body of a delivery: an envelope around the producer's text.

Every attempt of an event sends the same bytes. The signature is over bytes, and parsing and writing
the text again would change it (`1.10` to `1.1`, `1e400` to an invalid `Infinity`).
"""

from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted

from dispatcher.core import ids

DATA_LIMIT_BYTES = 8 * 2**20
"""Most bytes of an event's data. The database has the same limit, in the migrations 0001 and 0004;
`delivery.max_data` may be lower."""


def build(event_id: int, type: str, environment_id: str, data: str) -> bytes:
    """Return the UTF-8 body: fixed key order, no added whitespace, `data` inserted as it is.

    `data` is JSON text that PostgreSQL accepted as `json`. The timestamp is the one in the id.
    """
    seconds, milliseconds = divmod(ids.created_ms(event_id), 1000)
    begin, environment = _constant_parts(type, environment_id)
    return (
        f'{begin}{ids.event_name(event_id)}","timestamp":"{_to_the_second(seconds)}.{milliseconds:03d}Z"'
        f"{environment}{data}}}"
    ).encode()


@lru_cache(maxsize=1024)
def _constant_parts(type: str, environment_id: str) -> tuple[str, str]:
    return (
        f'{{"event":{quoted(type)},"event_id":"',
        f',"environment_id":{quoted(environment_id)},"data":',
    )


# Events come in time order, so each second is formatted once. Otherwise formatting is a third of
# the cost of `build`.
@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
