"""The parsed parts of a URL, and that requests use it byte for byte as it was typed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.endpoint_url import UrlError, parse_url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("?", "/?"),
        ("?x=1&y=a+b", "/?x=1&y=a+b"),
        ("/h?", "/h?"),
        ("/h?sp=%2Ftriggers%2Fmanual%2Frun&sig=ab%2Bc%2Fd%3D",) * 2,
        ("/h?to=%40me%3A1%2C2",) * 2,
        ("/h/%27x",) * 2,
        ("/%7e/%7E/~/%41",) * 2,
        ("/a/../b/./c//d",) * 2,
        ("/%0d%0a?x=%0d%0a",) * 2,
        ("/%zz%",) * 2,
        ("/a@b:c;d=e,f!$&'()*+",) * 2,
        ('/"<>^`{|}',) * 2,
        ("/a?b?c/d",) * 2,
        ("/é?é=ü&%C3%A9", "/%C3%A9?%C3%A9=%C3%BC&%C3%A9"),
        ("/日本%2f", "/%E6%97%A5%E6%9C%AC%2f"),
    ],
)
def test_the_target_keeps_the_url_as_typed(path: str, target: str) -> None:
    url = parse_url(f"https://example.com{path}")
    assert url.target == target
    assert url.text == f"https://example.com{path}"


@given(
    st.text(string.ascii_letters + string.digits + "-._~:/?[]@!$&'()*+,;=%{}|^`<>\"", max_size=80)
)
def test_no_octet_of_an_ascii_target_changes(rest: str) -> None:
    assert parse_url(f"http://example.com/{rest}").target == f"/{rest}"


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://example.com/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://example.com:443/", "example.com"),
        ("https://EXAMPLE.com:8443/", "example.com:8443"),
        ("https://[2606:4700:0::1]:8443/", "[2606:4700::1]:8443"),
        ("https://[2606:4700::1]/", "[2606:4700::1]"),
        ("https://bücher.de/", "xn--bcher-kva.de"),
    ],
)
def test_the_host_header_has_a_port_only_where_it_is_not_the_default(
    url: str, authority: str
) -> None:
    assert parse_url(url).authority == authority


def test_the_shown_host_is_as_typed() -> None:
    assert parse_url("https://bücher.de/").shown_host == "bücher.de"


def test_a_url_may_have_2048_bytes() -> None:
    url = "http://example.com/".ljust(2048, "a")
    assert parse_url(url).target == url.removeprefix("http://example.com")


@pytest.mark.parametrize("url", ["http://example.com/" + "a" * 2048, "http://a.de/" + "é" * 700])
def test_a_url_of_more_than_2048_bytes_as_typed_or_as_sent_is_refused(url: str) -> None:
    with pytest.raises(UrlError, match="at most 2048 bytes"):
        parse_url(url)
