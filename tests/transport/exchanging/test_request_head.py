"""The head of a request, octet for octet, and who may write what in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.endpoint_url import parse_url
from dispatcher.transport.exchanging.request_head import FRAMING, RequestHeads
from dispatcher.transport.target import target_of

HEADS = RequestHeads({"Accept": "*/*", "User-Agent": "Test/1.0"})


def head(headers: dict[str, str], url: str = "http://hooks.example.com:8080/in?a=%0A") -> str:
    return HEADS.build(target_of(parse_url(url)).start, headers, 3).decode()


def test_a_head_has_the_defaults_and_the_length() -> None:
    assert head({"X-A": "b"}) == (
        "POST /in?a=%0A HTTP/1.1\r\nHost: hooks.example.com:8080\r\nAccept: */*\r\n"
        "User-Agent: Test/1.0\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
    )


def test_headers_keep_their_order_and_case() -> None:
    lines = head({"x-b": "1", "X-A": "2", "user-AGENT": "Mine"}).split("\r\n")[2:-3]
    assert lines == ["Accept: */*", "x-b: 1", "X-A: 2", "user-AGENT: Mine"]


def test_of_names_that_differ_in_case_the_last_is_sent() -> None:
    lines = head({"x-a": "1", "USER-AGENT": "Mine", "accept": "a", "X-A": "2"}).split("\r\n")[2:-3]
    assert lines == ["USER-AGENT: Mine", "accept: a", "X-A: 2"]


def test_percent_signs_and_braces_in_values_are_sent_unchanged() -> None:
    sent = head({"X-%s%d": "%s {0} %%"}, "http://hooks.example.com/%s%d%%?{0}")
    assert sent.startswith("POST /%s%d%%?{0} HTTP/1.1\r\n")
    assert "X-%s%d: %s {0} %%\r\n" in sent


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_only_the_sender_says_where_a_request_ends(name: str) -> None:
    with pytest.raises(ValueError, match="only the sender writes"):
        head({name.title(): "1"})


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\x1bb"])
def test_control_characters_split_no_request(bad: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        head({"X-A": bad})
    with pytest.raises(ValueError, match="no header can have"):
        head({bad: "x"})


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "é", "a\t"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no header can have"):
        head({name: "x"})


@given(st.dictionaries(st.from_regex(r"\AX-[A-Za-z0-9]{1,8}\Z"), st.text(max_size=30), max_size=6))
def test_a_request_head_has_one_line_a_header_for_any_values(headers: dict[str, str]) -> None:
    try:
        sent = HEADS.build(target_of(parse_url("http://a.example/")).start, headers, 3)
    except (ValueError, UnicodeEncodeError):
        return
    names = {name.lower() for name in headers}
    assert sent.count(b"\r\n") == sent.count(b"\n") == sent.count(b"\r") == 6 + len(names)
    assert sent.endswith(b"\r\n\r\n")
