"""The screen answers little, and nothing that tells a program more than a client's terminal may be able to do."""

import pytest

from claudectl_protocol.sessions import Size
from claudectld.screen.queries import Query, QuerySplitter
from claudectld.screen.replies import reply

CELLS = Size(cols=100, rows=30)
PIXELS = Size(cols=100, rows=30, xpixel=800, ypixel=480)


def answer(query: bytes, size: Size = CELLS) -> bytes:
    (piece,) = QuerySplitter().feed(query)
    assert isinstance(piece, Query)
    return reply(piece, size, b"<status>")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[0c", b"\x1b[?62;22c"),
        (b"\x1bZ", b"\x1b[?62;22c"),
        (b"\x1b[>c", b"\x1b[>1;0;0c"),
        (b"\x1b[=c", b"\x1bP!|00000000\x1b\\"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[6n", b"\x1b[1;1R"),
        (b"\x1b[?6n", b"\x1b[?1;1R"),
        (b"\x1b[?996n", b"\x1b[?997;1n"),
        (b"\x1b[4$p", b"\x1b[4;0$y"),
        (b"\x1b[?2026$p", b"\x1b[?2026;0$y"),
        (b"\x1bP$qm\x1b\\", b"\x1bP0$r\x1b\\"),
        (b"\x1bP+q544e\x1b\\", b"\x1bP0+r\x1b\\"),
        (b"\x1b]7501;?\x07", b"<status>"),
        (b"\x1b]10;?\x07", b"\x1b]10;rgb:dddd/dddd/dddd\x07"),
        (b"\x1b]11;?\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
        (b"\x1b]10;?;?\x07", b"\x1b]10;rgb:dddd/dddd/dddd\x07\x1b]11;rgb:0000/0000/0000\x07"),
        (b"\x1b]10;red;?\x07", b"\x1b]11;rgb:0000/0000/0000\x07"),
        (b"\x1b[18t", b"\x1b[8;30;100t"),
        (b"\x1b[19t", b"\x1b[9;30;100t"),
    ],
)
def test_a_query_gets_its_reply(query: bytes, expected: bytes) -> None:
    assert answer(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        b"\x1b[1c",
        b"\x1b[>1c",
        b"\x1b[>q",
        b"\x1b[?u",
        b"\x1b[?25n",
        b"\x1b[20t",
        b"\x1b[21t",
        b"\x1b[13t",
        b"\x1b]4;1;?\x07",
        b"\x1b]17;?\x07",
        b"\x1b]52;c;?\x07",
        b"\x1b[?1;1;0S",
        b"\x1b[1x",
    ],
)
def test_a_query_that_is_better_not_answered_gets_nothing(query: bytes) -> None:
    assert answer(query) == b""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"\x1b[14t", b"\x1b[4;480;800t"),
        (b"\x1b[14;2t", b"\x1b[4;480;800t"),
        (b"\x1b[15t", b"\x1b[5;480;800t"),
        (b"\x1b[16t", b"\x1b[6;16;8t"),
    ],
)
def test_sizes_in_pixels_are_told_only_when_they_are_known(query: bytes, expected: bytes) -> None:
    assert answer(query, PIXELS) == expected
    assert answer(query, CELLS) == b""
