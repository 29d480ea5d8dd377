"""Every query is cut out, nothing else is, however the stream is split and wherever a splitter begins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudectld.screen.queries import (
    CSI_LIMIT_BYTES,
    DCS_LIMIT_BYTES,
    OSC_LIMIT_BYTES,
    Passage,
    Piece,
    Query,
    QueryKind,
    QuerySplitter,
)
from tests.claudectld.screen.streams import FRAGMENTS, ORDINARY, PLACES, QUERIES, cut, streams


def merged(pieces: list[Piece]) -> list[Piece]:
    """Neighbouring passages as one, for where they are parted says nothing."""
    result: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Passage) and result and isinstance(result[-1], Passage):
            result[-1] = Passage(result[-1].data + piece.data, piece.end)
        else:
            result.append(piece)
    return result


def split(chunks: list[bytes], offset: int = 0) -> list[Piece]:
    splitter = QuerySplitter(offset)
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return pieces + splitter.finish()


def raw(piece: Piece) -> bytes:
    return piece.raw if isinstance(piece, Query) else piece.data


@pytest.mark.parametrize(("kind", "query", "params"), QUERIES)
def test_a_query_between_text_is_cut_out_with_its_parameters(kind: str, query: bytes, params: bytes) -> None:
    pieces = split([b"before" + query + b"after"])

    assert pieces == [
        Passage(b"before", 6),
        Query(QueryKind(kind), query, params, 6 + len(query)),
        Passage(b"after", 11 + len(query)),
    ]


def test_every_kind_of_query_has_an_example() -> None:
    assert {kind for kind, _, _ in QUERIES} == {str(kind) for kind in QueryKind}


@pytest.mark.parametrize("sequence", ORDINARY)
def test_what_is_no_query_passes_whole(sequence: bytes) -> None:
    assert split([b"a" + sequence + b"b"]) == [Passage(b"a" + sequence + b"b", 2 + len(sequence))]


@pytest.mark.parametrize(("kind", "query", "params"), QUERIES)
def test_a_query_is_held_back_at_every_length_until_it_is_whole(
    kind: str, query: bytes, params: bytes
) -> None:
    for length in range(1, len(query)):
        splitter = QuerySplitter()

        assert splitter.feed(query[:length]) == []
        assert splitter.pending == query[:length]
        assert splitter.feed(query[length:]) == [Query(QueryKind(kind), query, params, len(query))]
        assert splitter.pending == b""


@pytest.mark.parametrize(
    "sequence", [b"\x1b]0;a title that goes on", b"\x1b[38:", b"\x1b[<", b"\x1b_Gi=1;AA", b"\x1b7"]
)
def test_what_cannot_become_a_query_goes_on_at_once(sequence: bytes) -> None:
    splitter = QuerySplitter()

    assert splitter.feed(sequence) == [Passage(sequence, len(sequence))]


def test_an_escape_begins_anew_inside_a_string() -> None:
    assert split([b"\x1b]0;title\x1b[c\x1b]11;\x1b[6n"]) == [
        Passage(b"\x1b]0;title", 9),
        Query(QueryKind.DA1, b"\x1b[c", b"", 12),
        Passage(b"\x1b]11;", 17),
        Query(QueryKind.DSR, b"\x1b[6n", b"6", 21),
    ]


def test_a_doubled_escape_passes_and_the_second_begins_the_query() -> None:
    assert split([b"\x1b", b"\x1b", b"[c"]) == [Passage(b"\x1b", 1), Query(QueryKind.DA1, b"\x1b[c", b"", 4)]


@pytest.mark.parametrize("aborted", [b"\x1b]11;?\x18\x07", b"\x1b]11;?\x1a\x1b\\", b"\x1bP$qm\x18\x1b\\"])
def test_a_cancelled_string_is_no_query(aborted: bytes) -> None:
    assert merged(split([aborted])) == [Passage(aborted, len(aborted))]


@pytest.mark.parametrize(
    ("overlong", "limit"),
    [
        (b"\x1b[" + b"0" * CSI_LIMIT_BYTES + b"c", CSI_LIMIT_BYTES),
        (b"\x1b]11;" + b";" * OSC_LIMIT_BYTES + b"?\x07", OSC_LIMIT_BYTES),
        (b"\x1bP+q" + b"4" * DCS_LIMIT_BYTES + b"\x1b\\", DCS_LIMIT_BYTES),
    ],
)
def test_no_more_is_held_back_than_the_limit(overlong: bytes, limit: int) -> None:
    splitter = QuerySplitter()
    held = 0
    pieces: list[Piece] = []
    for index in range(len(overlong)):
        pieces += splitter.feed(overlong[index : index + 1])
        held = max(held, len(splitter.pending))

    assert held <= limit
    assert merged(pieces + splitter.finish()) == [Passage(overlong, len(overlong))]


def test_what_is_still_held_when_the_run_ends_comes_out_as_it_is() -> None:
    splitter = QuerySplitter(offset=100)
    splitter.feed(b"\x1b[6")

    assert splitter.finish() == [Passage(b"\x1b[6", 103)]
    assert splitter.finish() == []


@given(data=streams(), places=PLACES, offset=st.integers(min_value=0, max_value=2**40))
def test_cuts_change_nothing(data: bytes, places: list[int], offset: int) -> None:
    pieces = split(cut(data, places), offset)

    assert merged(pieces) == merged(split([data], offset))
    assert b"".join(raw(piece) for piece in pieces) == data
    ends = [piece.end for piece in pieces]
    lengths = [len(raw(piece)) for piece in pieces]
    assert ends == [offset + sum(lengths[: index + 1]) for index in range(len(lengths))]


@settings(max_examples=200)
@given(data=streams(), places=PLACES)
def test_a_splitter_that_starts_at_any_end_gives_the_same_rest(data: bytes, places: list[int]) -> None:
    whole = QuerySplitter()
    pieces = [piece for chunk in cut(data, places) for piece in whole.feed(chunk)]
    rest_of_whole = whole.finish()

    for index, piece in enumerate(pieces):
        again = split([data[piece.end :]], piece.end)

        assert merged(again) == merged(pieces[index + 1 :] + rest_of_whole)


@given(data=st.lists(st.sampled_from([*FRAGMENTS, b"\x1b[c", b"\x1b]11;?\x07"]), max_size=10).map(b"".join))
def test_passages_hold_no_query(data: bytes) -> None:
    for piece in merged(split([data])):
        if isinstance(piece, Passage):
            assert all(isinstance(part, Passage) for part in split([piece.data]))
