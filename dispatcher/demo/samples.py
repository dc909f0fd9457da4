"""Sample events: the types of an identity service, each with its own data."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle
from secrets import token_hex

_TEMPLATES = {
    "user.created": '{"id":"usr_%s","first_name":"Jane","last_name":"Doe"}',
    "user.registered": '{"id":"usr_%s","email":"jane@example.com","score":1.10}',
    "user.updated": '{"id":"usr_%s","changed":["last_name"]}',
    "user.password_reset": '{"id":"usr_%s", "requested_by": "usr_1"}',
    "user.password_changed": '{"id":"usr_%s","sessions_ended":3}',
    "role.created": '{"id":"rol_%s","name":"Rédacteur"}',
    "role.updated": '{"id":"rol_%s","permissions":["prm_1","prm_2"]}',
    "permission.created": '{"id":"prm_%s","name":"invoices:read"}',
    "permission.updated": '{"id":"prm_%s","description":null}',
    "client.registered": '{"id":"cli_%s","redirect_uris":["https:\\/\\/app.example.com\\/"]}',
    "client.updated": '{"id":"cli_%s","name":"Caf\\u00e9"}',
    "token.issued": '{"id":"tok_%s","expires_in":3.6e3}',
    "signing_key.generated": '{"id":"key_%s","algorithm":"RS256"}',
    "signing_key.deactivated": '{"id":"key_%s","serial":9007199254740993}',
    "environment.updated": '{"id":"env_%s","name":"Staging"}',
    "custom_domain.created": '{"id":"dom_%s","domain":"login.example.com"}',
    "custom_domain.deleted": '{"id":"dom_%s"}',
}
"""Some are written in a way that a program which parses and dumps JSON would change."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An event to emit. Each sample has different `data`, which identifies it on arrival."""

    type: str
    data: str


def samples() -> Iterator[Sample]:
    """Yield samples without end, one of each type in turn."""
    run = token_hex(4)
    for number, (type_, template) in zip(count(1), cycle(_TEMPLATES.items()), strict=False):
        yield Sample(type_, template % f"{run}{number:06}")
