"""Check a webhook's input against the configuration of this daemon."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from dispatcher.config.sections import Limits
from dispatcher.core.endpoint_url import UrlError
from dispatcher.core.errors import ConflictError, InvalidError, Problem
from dispatcher.services.inputs.credential_inputs import Authentication
from dispatcher.services.inputs.webhook_inputs import (
    HEADERS_LIMIT_BYTES,
    TOO_LARGE_HEADERS,
    headers_size,
)
from dispatcher.transport.addresses.egress import Guard


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """The rules for webhooks: allowed targets, enabled schemes, headers of the daemon itself."""

    guard: Guard
    schemes: tuple[str, ...]
    own_headers: Collection[str]
    limits: Limits = field(default_factory=Limits)

    def check(self, changes: Mapping[str, Any]) -> None:
        """Raise InvalidError for fields that contradict this daemon's configuration."""
        if changes.get("url") is not None:
            self.target(changes["url"])
        self._check_token_url(changes.get("authentication"))
        for scheme in changes.get("signature_schemes") or ():
            if scheme not in self.schemes:
                raise InvalidError.field("signature_schemes", f"{scheme} is not in signing.schemes")
        self._check_sizes(changes)
        for name in changes.get("headers") or ():
            if name.lower() in self.own_headers:
                raise InvalidError.field("headers", f"{name} is written by the dispatcher itself")

    def check_headers(self, merged: Mapping[str, str], *, before: Mapping[str, str]) -> None:
        """Raise InvalidError if the headers of a webhook are too many or too large after a change.

        `before` are those before the change. Headers that were too large already may become smaller
        step by step.
        """
        if len(merged) > self.limits.headers:
            raise InvalidError.field("headers", f"are at most {self.limits.headers}")
        if headers_size(merged) > max(HEADERS_LIMIT_BYTES, headers_size(before)):
            raise InvalidError.field("headers", TOO_LARGE_HEADERS)

    def check_room(self, count: int) -> None:
        """Raise ConflictError if an environment with `count` webhooks may have no more."""
        limit = self.limits.webhooks
        if count >= limit:
            raise ConflictError(
                f"The environment has {limit} webhooks, the most that limits.webhooks allows."
                " Delete some first."
            )

    def target(self, url: str) -> tuple[str, str]:
        """Return the URL as it was typed, and its host.

        Raise InvalidError if the URL is not allowed.
        """
        try:
            target = self.guard.check_url(url)
        except UrlError as error:
            raise InvalidError.field("url", str(error)) from None
        return target.text, target.shown_host

    def _check_token_url(self, authentication: Authentication | None) -> None:
        if authentication is None or authentication.token_url is None:
            return
        try:
            self.guard.check_url(authentication.token_url)
        except UrlError as error:
            raise InvalidError(Problem(("authentication", "token_url"), str(error))) from None

    def _check_sizes(self, changes: Mapping[str, Any]) -> None:
        """Raise InvalidError if a field exceeds a configured limit."""
        limits, metadata = self.limits, changes.get("metadata")
        metadata_bytes = len(orjson.dumps(metadata)) if metadata else 0
        for name, count, limit, unit in (
            ("events", len(changes.get("events") or ()), limits.patterns, ""),
            ("headers", len(changes.get("headers") or ()), limits.headers, ""),
            ("metadata", metadata_bytes, limits.metadata_bytes, " bytes"),
        ):
            if count > limit:
                raise InvalidError.field(name, f"must be at most {limit}{unit}")
