"""Where a sequence begins that the bytes at hand have not finished."""

import re


def unfinished(pattern: re.Pattern[bytes], buffer: bytes, start: int = 0) -> int:
    """The place of the ESC whose sequence matches `pattern` up to the buffer's end, or the buffer's length.

    A lone ESC at the end always counts: it begins a sequence or is half of the terminator of the string before it,
    which is why `pattern` ends in an optional ESC for strings.
    """
    last = buffer.rfind(b"\x1b", start)
    if last < 0:
        return len(buffer)
    if last == len(buffer) - 1:
        before = buffer.rfind(b"\x1b", start, last)
        return before if before >= 0 and pattern.match(buffer, before) else last
    return last if pattern.match(buffer, last) else len(buffer)
