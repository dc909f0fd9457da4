"""Encrypt the secrets of a webhook, and read its headers back."""

from collections.abc import Mapping
from uuid import UUID

import orjson

from dispatcher.encryption.cipher import Cipher, WrongKeyError
from dispatcher.services.inputs.credential_inputs import Authentication, TlsSettings
from dispatcher.services.webhooks import webhook_credentials
from dispatcher.services.webhooks.webhook_credentials import WebhookTls
from dispatcher.store.queries.endpoints import EndpointRow


class WebhookSecrets:
    """The encryption of the secrets of webhooks. `cipher` is None if there is no key."""

    def __init__(self, cipher: Cipher | None) -> None:
        self._cipher = cipher

    def encrypt(self, secret: str, webhook_id: UUID) -> bytes:
        """Return a secret encrypted for this webhook. Raise RuntimeError if there is no key."""
        if self._cipher is None:
            raise RuntimeError("there is no key to encrypt a secret with")
        return self._cipher.encrypt(secret.encode(), context=webhook_id.bytes)

    def encrypt_headers(self, headers: Mapping[str, str], webhook_id: UUID) -> bytes | None:
        """Return the headers encrypted for this webhook, or None if there are none."""
        return self.encrypt(orjson.dumps(headers).decode(), webhook_id) if headers else None

    def authentication(self, form: Authentication | None, webhook_id: UUID) -> dict[str, object]:
        """Return the columns of an authentication: what is shown, and all of it encrypted."""
        if form is None:
            return {"authentication": None, "authentication_sealed": None}
        text = orjson.dumps(form.parts()).decode()
        return {
            "authentication": webhook_credentials.shown(form),
            "authentication_sealed": self.encrypt(text, webhook_id),
        }

    def tls(
        self, form: TlsSettings | None, checked: WebhookTls | None, webhook_id: UUID
    ) -> dict[str, object]:
        """Return the columns of certificates: what is shown, and all of it encrypted."""
        if form is None or checked is None:
            return {"tls": None, "tls_sealed": None}
        text = orjson.dumps(form.given()).decode()
        return {"tls": checked.to_text(), "tls_sealed": self.encrypt(text, webhook_id)}

    def headers(self, row: EndpointRow) -> dict[str, str]:
        """Return the headers of a stored webhook.

        Return none if there is no key, or if they are encrypted with another key.
        """
        if row["headers"] is None or self._cipher is None:
            return {}
        try:
            text = self._cipher.decrypt(row["headers"], context=row["id"].bytes)
        except WrongKeyError:
            return {}
        return dict(orjson.loads(text))

    def merge_headers(
        self, row: EndpointRow, changes: Mapping[str, str | None] | None
    ) -> dict[str, str]:
        """Return the headers of a stored webhook after `changes`.

        A header with the value None is removed. `changes` None removes all headers. The names
        ignore case.
        """
        if changes is None:
            return {}
        changed = {name.lower() for name in changes}
        kept = {n: v for n, v in self.headers(row).items() if n.lower() not in changed}
        return kept | {name: value for name, value in changes.items() if value is not None}
