"""The checks of certificates, which one environment cannot hold up for others."""

import asyncio
import threading

import pytest

from dispatcher.core.errors import InvalidError
from dispatcher.services.inputs.credential_inputs import TlsSettings
from dispatcher.services.webhooks import certificate_checks
from dispatcher.services.webhooks.certificate_checks import (
    NOTHING_CHECKED,
    CertificateChecks,
    CertificateChecksBusyError,
)
from dispatcher.services.webhooks.webhook_credentials import WebhookTls
from tests.waiting import until

FORM = TlsSettings(ca="a PEM text")


async def test_checks_of_one_environment_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    checking = 0

    def check(form: TlsSettings) -> WebhookTls:
        nonlocal checking
        if form.ca != "quick":
            checking += 1
            go.wait()
        return WebhookTls(None, ())

    monkeypatch.setattr(certificate_checks, "check_tls", check)
    checks = CertificateChecks()
    many = 1 + certificate_checks.WAITING_OF_ONE_LIMIT
    waiting = [asyncio.create_task(checks.check("a", FORM)) for _ in range(many)]
    try:
        await until(lambda: checking > 0, "the first check is under way")
        with pytest.raises(CertificateChecksBusyError):
            await checks.check("a", FORM)
        other = await checks.check("b", TlsSettings(ca="quick"))
        assert other.description == WebhookTls(None, ())
        assert checking == 1
    finally:
        go.set()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_refusal_is_raised_where_the_certificates_are_used() -> None:
    checked = await CertificateChecks().check("a", FORM)
    with pytest.raises(InvalidError, match="must be certificates in PEM"):
        checked.of(FORM)


async def test_a_form_without_certificates_needs_no_check() -> None:
    assert await CertificateChecks().check("a", None) is NOTHING_CHECKED
    assert NOTHING_CHECKED.of(None) is None


def test_certificates_that_were_not_checked_are_not_used() -> None:
    with pytest.raises(TypeError, match="before the transaction"):
        NOTHING_CHECKED.of(FORM)
