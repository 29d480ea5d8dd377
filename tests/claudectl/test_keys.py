"""The language of `send --keys` and the search for our own keys in what a person types."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl.keys import KeyFilter, Typed, parse_keys
from claudectl_protocol.faults import InvalidArgument, Rejected

# --- parse_keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("hello", b"hello"),
        ("grüße", "grüße".encode()),
        (r"a\r\n\t\e\x00\xff\\ \<", b"a\r\n\t\x1b\x00\xff\\ <"),
        ("<Enter><esc><UP><F12><S-Tab>", b"\r\x1b\x1b[A\x1b[24~\x1b[Z"),
        ("<C-c><C-C><C-[><C-\\><C-@><C-Space>", b"\x03\x03\x1b\x1c\x00\x00"),
        ("<M-x><M-Enter><M-C-a>", b"\x1bx\x1b\r\x1b\x01"),
        ("a<b and c>d < e", b"a<b and c>d < e"),
        ("x<", b"x<"),
        ("<lt>Up>", b"<Up>"),
        ("two\nlines", b"two\nlines"),
        ("\udcff", b"\xff"),
    ],
)
def test_keys_are_the_bytes_they_type(text: str, data: bytes) -> None:
    assert parse_keys(text) == data


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (r"a\q", r"'\q' in --keys"),
        ("trailing\\", "'\\' in --keys"),
        (r"\x4", r"'\x' in --keys"),
        ("<Entr>", "'<Entr>' in --keys"),
        ("<C-é>", "'<C-é>' in --keys"),
        ("<M-Nope>", "'<M-Nope>' in --keys"),
    ],
)
def test_an_unknown_key_or_escape_is_refused_by_name(text: str, what: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_keys(text)

    assert isinstance(caught.value.fault, InvalidArgument)
    assert caught.value.fault.what == what


@given(st.binary())
def test_every_byte_can_be_written_as_an_escape(data: bytes) -> None:
    assert parse_keys("".join(f"\\x{byte:02x}" for byte in data)) == data


# --- KeyFilter --------------------------------------------------------------------------------------------------

CTRL_Q = ["\x11", "\x1b[113;5u", "\x1b[113;69u", "\x1b[113:81;5:1u", "\x1b[27;5;113~"]
CTRL_Z = ["\x1a", "\x1b[122;5u", "\x1b[122;133u", "\x1b[27;5;122~"]
OTHER = [
    "\x1b[113;6u",
    "\x1b[113u",
    "\x1b[112;5u",
    "\x1b[27;5;114~",
    "\x1b[A",
    "\x1b",
    "\x03",
    "q",
    "\x1b[201~",
]


@pytest.mark.parametrize("key", CTRL_Q)
def test_ctrl_q_detaches_however_the_terminal_writes_it(key: str) -> None:
    assert KeyFilter(drop_suspend=False).feed(b"ab" + key.encode() + b"cd") == Typed(b"ab", detach=True)


@pytest.mark.parametrize("key", CTRL_Z)
def test_ctrl_z_is_dropped_when_it_would_freeze_the_child(key: str) -> None:
    assert KeyFilter(drop_suspend=True).feed(b"ab" + key.encode() + b"cd") == Typed(b"abcd")


@pytest.mark.parametrize("key", CTRL_Z)
def test_ctrl_z_passes_when_the_child_can_take_it(key: str) -> None:
    assert KeyFilter(drop_suspend=False).feed(key.encode()) == Typed(key.encode())


@pytest.mark.parametrize("key", OTHER)
def test_other_keys_pass_as_they_are(key: str) -> None:
    keys = KeyFilter(drop_suspend=True)

    typed = keys.feed(key.encode())

    assert (typed.data + keys.flush(), typed.detach) == (key.encode(), False)


@pytest.mark.parametrize("key", CTRL_Q + CTRL_Z)
def test_a_paste_passes_whole_whatever_it_holds(key: str) -> None:
    paste = b"\x1b[200~" + key.encode() + b"\x1b[201~"

    assert KeyFilter(drop_suspend=True).feed(paste) == Typed(paste)


def test_ctrl_q_detaches_again_after_a_paste() -> None:
    keys = KeyFilter(drop_suspend=True)

    assert keys.feed(b"\x1b[200~\x11\x1b[20") == Typed(b"\x1b[200~\x11\x1b[20")
    assert keys.feed(b"1~\x11") == Typed(b"1~", detach=True)


def test_a_lone_escape_waits_for_a_flush_and_is_given_once() -> None:
    keys = KeyFilter(drop_suspend=True)

    assert keys.feed(b"\x1b") == Typed(b"")
    assert keys.is_holding
    assert keys.flush() == b"\x1b"
    assert keys.flush() == b""
    assert keys.feed(b"x") == Typed(b"x")


def test_a_paste_is_recognised_although_its_start_was_flushed_in_pieces() -> None:
    keys = KeyFilter(drop_suspend=True)
    keys.feed(b"\x1b")
    keys.flush()
    keys.feed(b"[20")
    keys.flush()

    assert keys.feed(b"0~\x11") == Typed(b"0~\x11")


class Stream(NamedTuple):
    """Something typed, what a child should get of it, and where it detaches."""

    typed: bytes
    expected: Typed


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Keys and pastes in any order, each piece with what must become of it."""
    typed = expected = b""
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["text", "paste", "suspend", "detach"]))
        match kind:
            case "text":
                piece = draw(
                    st.sampled_from(["a", "é", "\x1b[A", "\x1b[113;6u", "\x1bOP", "\x03", "\x1b\x1bz"])
                ).encode()
                typed, expected = typed + piece, expected + piece
            case "paste":
                parts = draw(
                    st.lists(st.sampled_from([*CTRL_Q, *CTRL_Z, "x", "\x1b", "\x1b[20", "\x1b[200~"]))
                )
                piece = b"\x1b[200~" + "".join(parts).encode() + b"\x1b[201~"
                typed, expected = typed + piece, expected + piece
            case "suspend":
                typed += draw(st.sampled_from(CTRL_Z)).encode()
            case _:
                typed += draw(st.sampled_from(CTRL_Q)).encode() + draw(st.binary(max_size=8))
                return Stream(typed, Typed(expected, detach=True))
    return Stream(typed, Typed(expected))


@given(streams(), st.data())
def test_where_reads_are_cut_makes_no_difference(stream: Stream, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream.typed)))))
    keys = KeyFilter(drop_suspend=True)
    out = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream.typed)], strict=True):
        typed = keys.feed(stream.typed[start:end])
        out += typed.data
        if typed.detach:
            assert (out, True) == stream.expected
            return

    assert (out + keys.flush(), False) == stream.expected


@given(streams(), st.data())
def test_a_flush_anywhere_loses_nothing_and_never_mistakes_a_paste(
    stream: Stream, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream.typed)))))
    keys = KeyFilter(drop_suspend=False)
    out = b""
    detached = False
    for start, end in zip([0, *cuts], [*cuts, len(stream.typed)], strict=True):
        typed = keys.feed(stream.typed[start:end])
        out += typed.data
        if typed.detach:
            detached = True
            break
        out += keys.flush()

    assert detached == stream.expected.detach
    if not detached:
        assert out == stream.typed
    else:
        # Up to a flushed beginning of the detach key, which a child has to live with.
        assert stream.typed.startswith(out)
