"""Output as programs print it, for judging repaints: logs, scroll regions, full-screen applications, modes."""

from hypothesis import strategies as st

COLUMNS, ROWS = 20, 6

Chunks = list[bytes]
_column = st.integers(min_value=1, max_value=COLUMNS)
_row = st.integers(min_value=1, max_value=ROWS)
_COLORS = "31 39 44 49 90 104 38;5;200 48;5;17 38;2;1;2;3 48:2::9:8:7 58;5;9 59"
_ATTRIBUTES = "0 1 22 3 4 24 7 27 4:3 1;32 0;35 38;5;3;1"
_sgr = st.sampled_from(["", *_COLORS.split(), *_ATTRIBUTES.split()]).map(
    lambda params: f"\x1b[{params}m".encode()
)
_text = st.sampled_from(["abc", "word word", "日本", "│─✳", "e\u0301", "0123456789", " ", "😀"]).map(
    str.encode
)


def log() -> st.SearchStrategy[bytes]:
    """Numbered lines with colours, some longer than the screen is wide."""
    line = st.tuples(_sgr, _text, _sgr, _text, st.sampled_from([b"\r\n", b"\n", b"\r"])).map(b"".join)
    return st.lists(line, max_size=8).map(
        lambda lines: b"".join(b"%d %s" % entry for entry in enumerate(lines))
    )


def regions() -> st.SearchStrategy[bytes]:
    """A scroll region, lines inserted and deleted in it, and origin mode."""
    region = st.tuples(_row, _row).map(lambda rows: b"\x1b[%d;%dr" % rows)
    act = st.sampled_from(
        [b"\x1b[L", b"\x1b[2M", b"\x1bM", b"\x1bD", b"\n", b"\x1b[S", b"\x1b[T", b"\x1b[?6h", b"\x1b[?6l"]
    )
    steps = st.lists(st.one_of(act, _text, _move()), max_size=6).map(b"".join)
    return st.tuples(region, steps, st.sampled_from([b"", b"\x1b[r"])).map(b"".join)


def application() -> st.SearchStrategy[bytes]:
    """An alternate screen, modes, absolute moves and whole redraws; it may be left again."""
    enter = st.sampled_from(
        [b"\x1b[?1049h", b"\x1b[?1049h\x1b[2J\x1b[H", b"\x1b[?1006;1049h\x1b[>5u", b"\x1b[?47h"]
    )
    clear = st.sampled_from(
        [b"\x1b[H\x1b[2J", b"\x1b[2J\x1b[H", b"\x1b[2J\x1b[3J\x1b[1;1H", b"\x1b[2J", b"\x1b[?25l"]
    )
    body = st.lists(st.one_of(clear, _sgr, _text, _move(), regions()), max_size=10).map(b"".join)
    leave = st.sampled_from(
        [b"", b"", b"\x1b[?1049l", b"\x1b[<u\x1b[?1049l\x1b[?1006l", b"\x1b[?47l", b"\x1b[?1049l\x1b[r"]
    )
    return st.tuples(enter, body, leave).map(b"".join)


_PRIVATE = (
    "1h 5h 5l 7l 7h 25l 25h 1000h 1002h 1003;1006h 1003l 1004h 1048h 1048l 2004h 2004l 2026h 2026l 2031h"
)
_CONTROLS = "4h 4l >1u >5u <u =3u >4;2m >4m s u H\x1b[2J\x1b[3J 2J\x1b[3J\x1b[H"
_ESCAPES = "= > (0 (B )0 7 8 c ]0;one\x07 ]2;two\x1b\\"


def settings_of_terminal() -> st.SearchStrategy[bytes]:
    """Modes, character sets, titles, keyboards, saved cursors, resets."""
    sequences = [f"\x1b[?{private}" for private in _PRIVATE.split()]
    sequences += [f"\x1b[{control}" for control in _CONTROLS.split()]
    sequences += [f"\x1b{escape}" for escape in _ESCAPES.split()]
    return st.sampled_from([*sequences, "\x0e", "\x0f", "\x1b[3 q", "\x1b[0 q"]).map(str.encode)


def outputs(max_parts: int = 8) -> st.SearchStrategy[bytes]:
    """A session in which all of these follow each other."""
    part = st.one_of(log(), regions(), application(), settings_of_terminal(), _text, _sgr)
    return st.lists(part, max_size=max_parts).map(b"".join)


def _move() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.tuples(_row, _column).map(lambda place: b"\x1b[%d;%dH" % place),
        st.sampled_from(
            [b"\x1b[A", b"\x1b[2B", b"\x1b[C", b"\x1b[G", b"\x1b[K", b"\x1b[1J", b"\x1b[J", b"\x1b[2K"]
        ),
    )
