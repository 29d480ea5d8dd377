"""Hypothesis strategies for terminal output: queries, what looks like one, text, and how a stream is cut."""

from hypothesis import strategies as st

QUERIES: tuple[tuple[str, bytes, bytes], ...] = (
    ("da1", b"\x1b[c", b""),
    ("da1", b"\x1b[0c", b"0"),
    ("da2", b"\x1b[>c", b""),
    ("da2", b"\x1b[>0c", b"0"),
    ("da3", b"\x1b[=c", b""),
    ("decid", b"\x1bZ", b""),
    ("dsr", b"\x1b[5n", b"5"),
    ("dsr", b"\x1b[6n", b"6"),
    ("decdsr", b"\x1b[?6n", b"6"),
    ("decdsr", b"\x1b[?996n", b"996"),
    ("decrqm", b"\x1b[4$p", b"4"),
    ("decrqm_private", b"\x1b[?2026$p", b"2026"),
    ("xtversion", b"\x1b[>q", b""),
    ("xtversion", b"\x1b[>0q", b"0"),
    ("kitty_keyboard", b"\x1b[?u", b""),
    *(("window", b"\x1b[%dt" % ps, b"%d" % ps) for ps in (11, 13, 14, 15, 16, 18, 19, 20, 21)),
    ("window", b"\x1b[14;2t", b"14;2"),
    ("color", b"\x1b]4;7;?\x07", b"4;7;?"),
    ("color", b"\x1b]4;1;red;2;?;3;blue\x1b\\", b"4;1;red;2;?;3;blue"),
    *(("color", b"\x1b]%d;?\x1b\\" % ps, b"%d;?" % ps) for ps in range(10, 20)),
    ("color", b"\x1b]10;?;?\x07", b"10;?;?"),
    ("clipboard", b"\x1b]52;c;?\x07", b"52;c;?"),
    ("clipboard", b"\x1b]52;;?\x1b\\", b"52;;?"),
    ("status", b"\x1b]7501;?\x07", b"7501;?"),
    ("status", b"\x1b]7501;?\x1b\\", b"7501;?"),
    ("decrqss", b"\x1bP$qm\x1b\\", b"m"),
    ("decrqss", b"\x1bP$q q\x1b\\", b" q"),
    ("xtgettcap", b"\x1bP+q544e;524742\x1b\\", b"544e;524742"),
    ("graphics", b"\x1b[?1;1;0S", b"1;1;0"),
    ("report", b"\x1b[1x", b"1"),
    ("report", b"\x1b[1;1;1;1;4;4*y", b"1;1;1;1;4;4"),
)
"""(kind, bytes, params) of every sort of query."""

ORDINARY: tuple[bytes, ...] = (
    b"\x1b[0m",
    b"\x1b[38;2;1;2;3m",
    b"\x1b[38:2::1:2:3m",
    b"\x1b[?1049h",
    b"\x1b[?25l",
    b"\x1b[2J",
    b"\x1b[u",
    b"\x1b[s",
    b"\x1b[>1u",
    b"\x1b[<u",
    b"\x1b[=5;1u",
    b"\x1b[>4;2m",
    b"\x1b[>4n",
    b"\x1b[2 q",
    b"\x1b[!p",
    b"\x1b[?6c",
    b"\x1b[8;24;80t",
    b"\x1b[22;0t",
    b"\x1b[23t",
    b"\x1b[1;10r",
    b"\x1b]0;title?\x07",
    b"\x1b]2;?\x1b\\",
    b"\x1b]11;#000000\x07",
    b"\x1b]4;1;#ff0000\x1b\\",
    b"\x1b]52;c;aGVsbG8/\x07",
    b"\x1b]7501;state=idle:app=claude-code\x07",
    b"\x1b]8;;https://example.org/?\x1b\\",
    b"\x1b]133;A\x07",
    b"\x1bP0;1q#0~~\x1b\\",
    b"\x1b_Gi=1;AAAA\x1b\\",
    b"\x1bc",
    b"\x1b7",
    b"\x1b8",
    b"\x1b(B",
    b"\x1b\\",
)
"""Sequences that are no queries."""

FRAGMENTS: tuple[bytes, ...] = (
    b"\x1b",
    b"\x1b\x1b",
    b"\x1b[",
    b"\x1b[?",
    b"\x1b[?202",
    b"\x1b]",
    b"\x1b]11;",
    b"\x1b]11;?",
    b"\x1b]7501;?\x1b",
    b"\x1bP",
    b"\x1bP$",
    b"\x1bP+q54",
    b"\x1b[" + b"1" * 80,
    b"\x1b]52;c;" + b"A" * 300,
    b"\x1bP+q" + b"4" * 1100,
    b"\x07",
    b"\x18",
    b"c",
    b"n",
    b"0",
    b"?",
    b";",
    b"\\",
)
"""Pieces of sequences, so that a stream has torn, nested and overlong ones."""

TEXT = ("hello world ", "line\r\n", "日本語", "│ ✳ ◐ ", "e\u0301", "\t")


def streams(max_parts: int = 12) -> st.SearchStrategy[bytes]:
    """Output in which queries, ordinary sequences, torn ones, text and noise follow each other."""
    part = st.one_of(
        st.sampled_from([raw for _, raw, _ in QUERIES]),
        st.sampled_from(ORDINARY),
        st.sampled_from(FRAGMENTS),
        st.sampled_from([text.encode() for text in TEXT]),
        st.binary(max_size=6),
    )
    return st.lists(part, max_size=max_parts).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in the chunks that cuts at `places` (modulo its length) make."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


PLACES = st.lists(st.integers(min_value=0, max_value=4000), max_size=8)
