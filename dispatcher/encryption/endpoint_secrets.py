"""Decrypt the row of an endpoint into what a request needs."""

from dataclasses import replace

import orjson

from dispatcher.core.credentials import (
    BasicCredentials,
    OAuth2Client,
    parse_authentication,
    parse_tls,
)
from dispatcher.core.model import Endpoint, RetryPolicy
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.queries.endpoints import SendingEndpointRow


def decrypt_endpoint(row: SendingEndpointRow, cipher: Cipher, retry: RetryPolicy) -> Endpoint:
    """Return the endpoint of a row. `retry` is the configured schedule.

    Raise WrongKeyError if a part was encrypted with another key, and TypeError or ValueError if a
    part cannot be understood.
    """

    def decrypted(sealed: bytes | None) -> str | None:
        if sealed is None:
            return None
        return cipher.decrypt(sealed, context=row["id"].bytes).decode()

    schemes, timeout_ms = row["signature_schemes"], row["timeout_ms"]
    headers = dict(orjson.loads(decrypted(row["headers"]) or "{}"))
    authentication, tls = decrypted(row["authentication_sealed"]), decrypted(row["tls_sealed"])
    credentials = parse_authentication(authentication) if authentication else None
    if isinstance(credentials, BasicCredentials):
        headers["Authorization"] = credentials.authorization
    return Endpoint(
        id=row["id"],
        environment_id=row["environment_id"],
        url=row["url"],
        may_send=row["may_send"] and not row["deleted"],
        ordered=row["ordered"],
        secret=decrypted(row["secret"]) or "",
        previous_secret=decrypted(row["previous_secret"]),
        previous_until=row["previous_until"],
        headers=headers,
        schemes=tuple(schemes) if schemes else None,
        max_in_flight=row["max_in_flight"],
        timeout=timeout_ms / 1000 if timeout_ms else None,
        retry=_policy(row["retry"], retry),
        resting_until=row["resting_until"],
        is_failing=row["is_failing"],
        rate_limit=row["rate_limit"],
        oauth2=credentials if isinstance(credentials, OAuth2Client) else None,
        tls=parse_tls(tls) if tls else None,
    )


def _policy(text: str | None, default: RetryPolicy) -> RetryPolicy | None:
    """Return the configured schedule with the endpoint's own values, None if it has none.

    Raise ValueError or TypeError if the values are not numbers of at least 0.
    """
    if text is None:
        return None
    policy = replace(default, **orjson.loads(text))
    numbers = (policy.retries, policy.base, policy.factor, policy.jitter, policy.cap)
    if not all(type(n) in (int, float) and n >= 0 for n in numbers):
        raise ValueError("retry: not numbers, or below 0")
    return policy
