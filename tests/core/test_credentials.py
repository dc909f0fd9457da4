"""Credentials as values: read from their texts, compared, and never shown."""

import pytest

from dispatcher.core.credentials import (
    BasicCredentials,
    OAuth2Client,
    parse_authentication,
    parse_tls,
    tls_identity,
)
from dispatcher.core.endpoint_url import split_userinfo

HUSH = "hush"


def test_basic_credentials_become_a_header() -> None:
    credentials = parse_authentication('{"type":"basic","username":"Aladdin","password":"ö"}')
    assert isinstance(credentials, BasicCredentials)
    assert credentials.authorization == "Basic QWxhZGRpbjrDtg=="


def test_an_oauth2_client_is_read_and_its_repr_hides_the_secret() -> None:
    text = '{"type":"oauth2","token_url":"https://a/","client_id":"b","client_secret":"hush"}'
    client = parse_authentication(text)
    assert client == OAuth2Client("https://a/", "b", HUSH)
    assert HUSH not in repr(client)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":"other"}',
        '{"type":"basic","username":"a"}',
        '{"type":"basic","username":"a","password":1}',
        '{"type":"oauth2","token_url":"a","client_id":"b","client_secret":"c","more":"d"}',
    ],
)
def test_invalid_credentials_are_refused(text: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        parse_authentication(text)


def test_identities_compare_by_fingerprint_and_show_no_secret() -> None:
    one = parse_tls('{"certificate":"a","key":"hush","ca":null}')
    assert one == tls_identity("a", HUSH, None)
    assert hash(one) == hash(tls_identity("a", HUSH, None))
    others = [tls_identity(*t) for t in (("a", "b", None), (None, None, "a"), ("a", HUSH, "c"))]
    assert one not in others
    assert HUSH not in repr(one)


@pytest.mark.parametrize(
    ("text", "url", "userinfo"),
    [
        ("https://a:b@c.com", "https://c.com", ("a", "b")),
        ("HTTPS://a:b@c.com:8443/d?e=f@g", "HTTPS://c.com:8443/d?e=f@g", ("a", "b")),
        ("https://a%40:b%3A%2F:c@d.com/", "https://d.com/", ("a@", "b:/:c")),
        ("https://:b@c.com/", "https://c.com/", ("", "b")),
        ("https://a:@c.com/", "https://c.com/", ("a", "")),
        ("https://%C3%B6:b@c.com/", "https://c.com/", ("ö", "b")),
    ],
)
def test_the_userinfo_is_taken_out_of_a_url(text: str, url: str, userinfo: tuple[str, str]) -> None:
    assert split_userinfo(text) == (url, userinfo)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://c.com/a:b@d",
        "http://a:b@c.com/",
        "https://a@c.com/",
        "https://a:b@c@d.com/",
        "https://a:b@",
        "https://a:b@/",
        "https://%FF:b@c.com/",
        "https://a%3Ab:c@d.com/",
        "https://a%00:b@c.com/",
        "https://a:b%0D%0A@c.com/",
        "ftp://a:b@c.com/",
    ],
)
def test_a_url_without_a_proper_userinfo_stays_as_it_is(text: str) -> None:
    assert split_userinfo(text) == (text, None)
