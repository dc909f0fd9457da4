"""An answer's bytes become a verdict and an excerpt: tables of variants, in every segmentation."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.transport.exchanging.answer import (
    CHUNK_FRAMING_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    INTERIM_LIMIT,
    PARSED_LIMIT_BYTES,
    Answer,
    whole_answer,
)
from dispatcher.transport.exchanging.answer_head import (
    CLEAN_LIMIT_BYTES,
    HEADERS_LIMIT_BYTES,
    NotHttpError,
    parse_head,
)

LIMIT = 64
OK = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, *, step: int = 0, then_end: bool = True) -> Answer:
    """An answer fed with the data in steps of so many bytes, and the end of the connection.

    The short way for an answer in one piece must find the same, or leave it to Answer.
    """
    answer = Answer(LIMIT)
    for at in range(0, len(data), step or max(1, len(data))):
        if answer.feed(data[at : at + step] if step else data):
            break
    else:
        if then_end:
            answer.end_of_input(clean=True)
    whole = whole_answer(data, LIMIT)
    if whole is not None:
        head, body = whole
        assert (head.status, head.headers, body) == (answer.status, answer.headers, answer.body)
        assert (answer.has_ended, answer.truncated, answer.is_reusable) == (
            True,
            False,
            head.is_reusable,
        )
    return answer


@pytest.mark.parametrize(("extra", "is_reusable"), [(0, True), (1, False), (5_000, False)])
def test_bytes_after_an_answer_that_ends_with_a_piece_end_the_connections_use(
    extra: int, is_reusable: bool
) -> None:
    """Otherwise the rest of what came would be taken for the answer to the next request."""
    head = OK + b"Content-Length: %d\r\n\r\n"
    length = PARSED_LIMIT_BYTES - len(head % 10_000)
    data = head % length + b"x" * length
    assert len(data) == PARSED_LIMIT_BYTES
    answer = Answer(PARSED_LIMIT_BYTES)
    assert answer.feed_pieces(data + b"y" * extra)
    assert (answer.is_complete, answer.is_reusable) == (True, is_reusable)


STATUS_LINES = {
    b"HTTP/1.1 200 OK\r\n": 200,
    b"HTTP/1.1 200\r\n": 200,
    b"HTTP/1.1 200 \r\n": 200,
    b"HTTP/1.1 200 OK\n": 200,
    b"HTTP/1.1  200 OK\r\n": 200,
    b"HTTP/1.1 \t200 OK\r\n": 200,
    b"HTTP/1.1 200OK\r\n": 200,
    b"HTTP/1.1 200\tOK\r\n": 200,
    b"HTTP/1.1 200 \xc3\xa9\xff\r\n": 200,
    b"HTTP/1.1 200 a\x00b\r\n": 200,
    b"HTTP/1.1 200 HTTP/1.1 500\r\n": 200,
    b"HTTP/1.0 200 OK\r\n": 200,
    b"HTTP/1.9 200 OK\r\n": 200,
    b"HTTP/2.0 200 OK\r\n": 200,
    b"HTTP/2 200\r\n": 200,
    b"Http/1.1 200 OK\r\n": 200,
    b"http/1.1 200 OK\r\n": 200,
    b"HTTP/1.1 099 No\r\n": 99,
    b"HTTP/1.1 999 No\r\n": 999,
    b"HTTP/1.1 101 Switching Protocols\r\n": 101,
    b"HTTP/1.1 410 Gone\r\n": 410,
    b"HTTP/1.1 " + b"2" * 2 + b"6 " + b"a" * 30_000 + b"\r\n": 226,
}

NO_STATUS_LINES = [
    b"\r\nHTTP/1.1 200 OK\r\n",
    b" HTTP/1.1 200 OK\r\n",
    b"HTTP/0.9 200 OK\r\n",
    b"HTTP/1 200 OK\r\n",
    b"HTTP/1.10 200 OK\r\n",
    b"HTTP/11.1 200 OK\r\n",
    b"HTTP/1.1200 OK\r\n",
    b"HTTP/1.1\t200 OK\r\n",
    b"HTTP/1.1 20 OK\r\n",
    b"HTTP/1.1 000 OK\r\n",
    b"HTTP/1.1 2000 OK\r\n",
    b"HTTP/1.1 +20 OK\r\n",
    b"HTTP/1.1 2OO OK\r\n",
    b"HTTP/1.1 OK\r\n",
    b"HTTP/1.1\r\n",
    b"HTTP/\r\n",
    b"HTTP 200 OK\r\n",
    b"ICY 200 OK\r\n",
    b"200 OK\r\n",
    b"<html>\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"POST / HTTP/1.1\r\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"\x00\x00\x12\x04\x00\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46\n",
    b"\n",
    b"\r\n\r\n",
]


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(("line", "status"), STATUS_LINES.items(), ids=repr)
def test_a_status_line_is_read_as_curl_reads_it(line: bytes, status: int, step: int) -> None:
    answer = read(line + b"Content-Length: 2\r\n\r\nok", step=step)
    assert answer.status == status
    # The line alone decides, whatever follows or does not.
    assert read(line, step=step).status == status


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("line", NO_STATUS_LINES, ids=repr)
def test_a_malformed_status_line_is_not_http(line: bytes, step: int) -> None:
    with pytest.raises(NotHttpError):
        read(line + b"Content-Length: 2\r\n\r\nok", step=step)


@pytest.mark.parametrize("begin", [b"<", b"S", b"\x00", b"\x15\x03", b"HTML", b"HTTP\r"])
def test_an_impossible_status_line_is_refused_at_its_first_bytes(begin: bytes) -> None:
    with pytest.raises(NotHttpError, match="begins with"):
        Answer(LIMIT).feed(begin)


FRAMINGS = {
    # what follows "HTTP/1.1 200 OK\r\n": body, complete, another request may follow
    b"Content-Length: 2\r\n\r\nok": (b"ok", True, True),
    b"content-length:2\r\n\r\nok": (b"ok", True, True),
    b"Content-Length: 2, 2\r\n\r\nok": (b"ok", True, True),
    b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, True),
    b"Content-Length: 0\r\n\r\n": (b"", True, True),
    b"Content-Length: 2\r\n\r\nokay": (b"ok", True, False),
    b"Content-Length: 2\r\n\r\nok\r\n": (b"ok", True, False),
    b"Content-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n": (b"ok", True, False),
    b"Content-Length: 10\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: -1\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: +2\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: 0x2\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: \r\n\r\nok": (b"ok", False, False),
    b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nok": (b"ok", False, False),
    b"Content-Length: 1000000000000000000\r\n\r\nok": (b"ok", False, False),
    b"Content-Length : 2\r\n\r\nok": (b"ok", True, False),
    b"X: a\r\n folded\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"X Note: a\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"X-Note : a\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"nonsense\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b": a\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"Content-Length: 2\n\nok": (b"ok", True, False),
    b"Content-Length: 2\r\n\nok": (b"ok", True, False),
    b"Connection: close\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"Connection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
    b"\r\nok": (b"ok", True, False),
    b"\r\n": (b"", True, False),
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n": (b"ok", True, True),
    b"Transfer-Encoding: Chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nA: b\r\n\r\n": (b"ok", True, True),
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": (b"", True, True),
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\njunk": (b"ok", True, False),
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n": (b"ok", False, False),
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n": (b"", False, False),
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok": (b"ok", False, False),
    b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nok": (b"", False, False),
    b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n": (b"ok", True, False),
    b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n": (b"ok", True, True),
    b"Transfer-Encoding: gzip\r\n\r\nok": (b"ok", True, False),
    b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok": (b"ok", True, False),
}  # fmt: skip


@pytest.mark.parametrize(("rest", "expected"), FRAMINGS.items(), ids=lambda v: repr(v)[:60])
def test_the_framing_shortens_the_excerpt_and_costs_the_connection_not_the_verdict(
    rest: bytes, expected: tuple[bytes, bool, bool]
) -> None:
    answer = read(OK + rest)
    assert answer.status == 200
    assert (answer.body, answer.is_complete, answer.is_reusable) == expected


@pytest.mark.parametrize("status", [b"200 OK", b"500 No", b"410 Gone", b"204 None", b"304 Same"])
@pytest.mark.parametrize(
    "rest",
    [
        b"\r\nabcdef",
        b"Content-Length: 2\r\n\r\nabcdef",
        b"Content-Length: 2\r\n\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\njunk",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"X: y\r\n" * 5000 + b"\r\n",
        b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"",
    ],
    ids=lambda rest: repr(rest)[:40],
)
@pytest.mark.parametrize("step", [0, 13, 4096])
def test_junk_in_any_packet_changes_no_status(status: bytes, rest: bytes, step: int) -> None:
    answer = read(b"HTTP/1.1 " + status + b"\r\n" + rest, step=step)
    assert answer.status == int(status[:3])
    assert len(answer.body) <= LIMIT


@pytest.mark.parametrize("status", [101, 204, 304])
def test_a_body_announced_where_none_may_be_closes_the_connection(
    status: int,
) -> None:
    line = b"HTTP/1.1 %d X\r\n" % status
    assert read(line + b"\r\n").is_reusable == (status != 101)
    assert read(line + b"Content-Length: 0\r\n\r\n").is_reusable == (status != 101)
    assert not read(line + b"Content-Length: 2\r\n\r\n").is_reusable
    assert not read(line + b"Transfer-Encoding: chunked\r\n\r\n").is_reusable
    assert not read(line + b"\r\nab").is_reusable


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        (b"", None),
        (b"Keep-Alive: timeout=5\r\n", 5),
        (b"keep-alive: max=100, Timeout=1\r\n", 1),
        (b'Keep-Alive: timeout="30"\r\n', 30),
        (b"Keep-Alive: timeout=0\r\n", 0),
        (b"Keep-Alive: timeout=-1\r\n", None),
        (b"Keep-Alive: timeout=x, max=5\r\n", None),
        (b"Keep-Alive: 300\r\n", None),
        (b"Keep-Alive: timeout=" + b"9" * 400 + b"\r\n", None),
    ],
)
def test_the_keep_alive_timeout_of_a_receiver_is_read(head: bytes, seconds: int | None) -> None:
    parsed_head = parse_head(OK + head + b"Content-Length: 0\r\n\r\n")
    assert (parsed_head.is_reusable, parsed_head.keep_alive_seconds) == (True, seconds)


@pytest.mark.parametrize(("spare", "is_reusable"), [(0, True), (1, False)])
def test_a_connection_is_not_kept_after_a_head_too_long_to_be_checked(
    spare: int, is_reusable: bool
) -> None:
    head = OK + b"Content-Length: 0\r\nX: \r\n\r\n"
    padding = b"x" * (CLEAN_LIMIT_BYTES - len(head) + spare)
    answer = read(head.replace(b"X: ", b"X: " + padding))
    assert (answer.status, answer.is_complete, answer.is_reusable) == (200, True, is_reusable)


@pytest.mark.parametrize("interims", [1, INTERIM_LIMIT])
@pytest.mark.parametrize("step", [0, 1, 5])
def test_interim_answers_are_passed_over(interims: int, step: int) -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" * (interims - 1) + b"HTTP/1.1 103 H\r\nX: y\r\n\r\n"
    answer = read(data + OK + b"Content-Length: 2\r\n\r\nok", step=step)
    assert (answer.status, answer.headers, answer.body) == (200, (("Content-Length", "2"),), b"ok")


@pytest.mark.parametrize("step", [0, 1, 4096])
def test_more_interim_answers_than_the_limit_are_not_http(step: int) -> None:
    with pytest.raises(NotHttpError, match="interim answers"):
        read(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000 + OK, step=step)


def test_interim_responses_alone_are_not_an_answer() -> None:
    answer = read(b"HTTP/1.1 102 Processing\r\n\r\n")
    assert (answer.status, answer.has_ended) == (0, False)
    assert not answer.end_of_input(clean=True)


def test_the_head_of_an_interim_answer_is_bounded() -> None:
    with pytest.raises(NotHttpError, match="interim answer is over"):
        read(b"HTTP/1.1 103 Hints\r\nX: " + b"a" * HEAD_LIMIT_BYTES, step=4096)


def test_a_response_head_without_end_is_cut_at_the_limit() -> None:
    answer = Answer(LIMIT)
    fed = 0
    answer.feed(OK)
    while not answer.feed(b"X-A: b\r\n" * 100):
        fed += 800
        assert fed <= HEAD_LIMIT_BYTES
    assert (answer.status, answer.truncated, answer.is_reusable) == (200, True, False)
    assert ("X-A", "b") in answer.headers
    assert sum(len(n) + len(v) for n, v in answer.headers) <= HEADERS_LIMIT_BYTES


def test_a_status_line_without_end_is_cut_at_the_limit() -> None:
    answer = read(b"HTTP/1.1 200 " + b"a" * 100_000, step=4096)
    assert (answer.status, answer.has_ended, answer.headers) == (200, True, ())


def test_headers_beyond_the_excerpt_are_left_out_and_shorter_ones_behind_them_kept() -> None:
    big = b"Content-Security-Policy: " + b"a" * 9000 + b"\r\n"
    answer = read(OK + big + b"Retry-After: 5\r\nContent-Length: 2\r\n\r\nok")
    assert answer.headers == (("Retry-After", "5"), ("Content-Length", "2"))
    assert (answer.body, answer.is_complete, answer.is_reusable) == (b"ok", True, True)


@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        (b"A: b\r\n", [("A", "b")]),
        (b"A:b\r\nC:  d \t\r\n", [("A", "b"), ("C", "d")]),
        (b"A:\r\nB: \r\n", [("A", ""), ("B", "")]),
        (b"A: b: c\r\n", [("A", "b: c")]),
        (b"A: one\r\n two\r\n\tthree\r\n", [("A", "one two three")]),
        (b" folded at once\r\nA: b\r\n", [("A", "b")]),
        (b"A: caf\xe9\r\n", [("A", "café")]),
        (b"X Note: a\r\nX-Note : b\r\n", [("X Note", "a"), ("X-Note", "b")]),
        (b"A: " + b" " * 7000 + b"\r\nB: c\r\n", [("A", ""), ("B", "c")]),
        (b"a: 1\r\na: 2\r\n", [("a", "1"), ("a", "2")]),
    ],
)
def test_headers_are_kept_in_order_and_case(lines: bytes, headers: list[tuple[str, str]]) -> None:
    assert list(parse_head(OK + lines + b"\r\n").headers) == headers


def test_chunks_are_counted_as_they_come_on_the_wire() -> None:
    answer = Answer(LIMIT)
    answer.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    fed = 0
    while not answer.feed(b"1\r\nx\r\n" * 4):
        fed += 24
        assert fed <= LIMIT + CHUNK_FRAMING_LIMIT_BYTES
    assert (answer.status, answer.truncated) == (200, True)
    trailers = Answer(LIMIT)
    trailers.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    fed = 0
    while not trailers.feed(b"A: b\r\n" * 10):
        fed += 60
        assert fed <= LIMIT + CHUNK_FRAMING_LIMIT_BYTES
    assert (trailers.status, trailers.body) == (200, b"")


PIECES = st.sampled_from(
    [
        OK, b"HTTP/1.1 ", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"200", b"410 Gone",
        b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b"\x00", b"\xff", b"a", b"0\r\n\r\n", b"5\r\nhello\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n", b"X-A: b\r\n", b"hello", b"ffffffffffffffffff\r\n", b"-1\r\n",
    ]
)  # fmt: skip
ANSWERS = st.lists(PIECES | st.binary(max_size=20), max_size=30).map(b"".join)


def whole_status(data: bytes) -> int | None:
    """The status found by the short way for an answer in one piece, None if it leaves it to Answer."""
    try:
        whole = whole_answer(data, LIMIT)
    except NotHttpError:
        return -1
    return None if whole is None else whole[0].status


@given(ANSWERS, st.lists(st.integers(0, 400), max_size=8))
@example(OK + b"Content-Length: 2\r\n\r\nok", [17, 18])
def test_any_bytes_in_any_segments_give_the_same_verdict(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    verdicts = []
    for segments in ([data], [data[a:b] for a, b in pairwise(edges)]):
        answer = Answer(LIMIT)
        try:
            for segment in segments:
                if segment and answer.feed(segment):
                    break
            else:
                answer.end_of_input(clean=True)
            verdicts.append(answer.status)
        except NotHttpError:
            verdicts.append(-1)
        assert len(answer.body) <= LIMIT
        assert sum(len(n) + len(v) for n, v in answer.headers) <= HEADERS_LIMIT_BYTES
        assert not (answer.is_reusable and answer.truncated and answer.has_ended)
    assert verdicts[0] == verdicts[1]
    assert whole_status(data) in (None, verdicts[0])
