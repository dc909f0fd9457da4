"""Check the certificates of webhooks in threads, shared out between environments.

OpenSSL needs 0.1 s for 64 KiB of certificates. So they are checked before the transaction of a
change, which holds a connection and locks, and few at a time.
"""

import asyncio
from dataclasses import dataclass

from dispatcher.core.errors import RefusedError
from dispatcher.services.inputs.credential_inputs import TlsSettings
from dispatcher.services.webhooks.webhook_credentials import WebhookTls, check_tls
from dispatcher.shared_slots import BusyError, SharedSlots

THREADS_LIMIT = 2
"""Most checks at a time, one for an environment: they compete for the processor with sending."""
WAITING_LIMIT = 32
WAITING_OF_ONE_LIMIT = 8
"""How many checks may wait for a thread: of all environments, and of one."""
WAIT_SECONDS = 5.0
"""Longest wait for a thread."""
REST_FACTOR = 1.0
"""After a check, the environment rests for as long as it took: one environment takes at most half
of the time of a processor."""


class CertificateChecksBusyError(Exception):
    """Too many checks are waiting. Nothing was changed; the same request may be repeated."""


@dataclass(frozen=True, slots=True)
class CheckedTls:
    """The result of a check: the description of the certificates, or why they are refused.

    Both are None if there was nothing to check.
    """

    description: WebhookTls | None = None
    error: RefusedError | None = None

    def of(self, form: TlsSettings | None) -> WebhookTls | None:
        """Return the description of the form's certificates, None if it has none.

        Raise the error of the check, and TypeError if the certificates were not checked.
        """
        if self.error is not None:
            raise self.error
        if form is not None and self.description is None:
            raise TypeError("certificates are checked before the transaction")
        return self.description


NOTHING_CHECKED = CheckedTls()
"""The result for a form without certificates."""


class CertificateChecks:
    """The threads in which certificates are checked, and their queue."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._slots = SharedSlots(
            THREADS_LIMIT,
            slots_of_one=1,
            waiting=WAITING_LIMIT,
            waiting_of_one=WAITING_OF_ONE_LIMIT,
            wait_seconds=wait_seconds,
            rest=REST_FACTOR,
        )

    async def check(self, key: str, form: TlsSettings | None) -> CheckedTls:
        """Check the certificates of a form, when it is the turn of the fairness key `key`.

        Return the result, which is NOTHING_CHECKED at once if `form` is None. Raise
        CertificateChecksBusyError.
        """
        if form is None:
            return NOTHING_CHECKED
        try:
            async with self._slots.hold(key):
                return await asyncio.to_thread(_checked, form)
        except BusyError:
            raise CertificateChecksBusyError("too many certificates wait to be checked") from None


def _checked(form: TlsSettings) -> CheckedTls:
    try:
        return CheckedTls(check_tls(form))
    except RefusedError as error:
        return CheckedTls(error=error)
