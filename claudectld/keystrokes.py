"""Groups what a client types into atomic batches, so that nobody else's keys can fall into a paste."""

BATCH_BYTES = 1024 * 1024
"""The keeper takes no more at once."""

_PASTE_START = b"\x1b[200~"
_PASTE_END = b"\x1b[201~"


class Keystrokes:
    """One client's input: bytes in, batches out.

    Keys go through at once. A bracketed paste comes out as one batch when it is whole. A paste of more than
    `batch_bytes` comes out in several; so whoever types the batches types all that one call returned, and while
    `inside_paste` also what the next calls return, before anything from another client.
    """

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes
        self._pending = b""
        self._pasting = False
        self._begun = False
        # A beginning of the paste's mark that flush() has given out already.
        self._flushed = b""

    @property
    def inside_paste(self) -> bool:
        """True when a part of a paste has been given out but not its end."""
        return self._begun

    def feed(self, data: bytes) -> list[bytes]:
        """The batches that `data` completes, none larger than `batch_bytes`; the rest waits for more."""
        self._pending += data
        batches: list[bytes] = []
        if self._flushed and not self._resume_mark():
            return batches
        while self._take_paste(batches) if self._pasting else self._take_keys(batches):
            pass
        return batches

    def flush(self) -> list[bytes]:
        """Nothing more is on its way now: an ESC that could have begun a paste is a key after all.

        A paste that has begun goes on waiting for its end.
        """
        if self._pasting or not self._pending:
            return []
        batch, self._pending = self._pending, b""
        self._flushed += batch
        return [batch]

    def close(self) -> list[bytes]:
        """The client is gone: a paste of which nothing was given out is dropped, any other is ended."""
        begun = self._begun
        self._pending, self._flushed, self._pasting, self._begun = b"", b"", False, False
        return [_PASTE_END] if begun else []

    def _resume_mark(self) -> bool:
        """See whether the mark that was flushed in part goes on; False while that is open."""
        mark = self._flushed + self._pending
        if len(mark) < len(_PASTE_START) and _PASTE_START.startswith(mark):
            return False
        self._pasting = self._begun = mark.startswith(_PASTE_START)
        self._flushed = b""
        return True

    def _take_keys(self, batches: list[bytes]) -> bool:
        """Take the keys before the next paste; False when all that is left has to wait."""
        start = self._pending.find(_PASTE_START)
        self._pasting = start >= 0
        end = start if self._pasting else len(self._pending) - _overlap(self._pending, _PASTE_START)
        batches += [
            self._pending[place : min(place + self._batch_bytes, end)]
            for place in range(0, end, self._batch_bytes)
        ]
        self._pending = self._pending[end:]
        return self._pasting

    def _take_paste(self, batches: list[bytes]) -> bool:
        """Take the paste, or a full batch of it; False when all that is left has to wait."""
        # A part of the opening mark that was flushed cannot be mistaken for the end: the marks differ.
        found = self._pending.find(_PASTE_END)
        end = found + len(_PASTE_END)
        if found >= 0 and end <= self._batch_bytes:
            self._pasting = self._begun = False
        elif len(self._pending) > self._batch_bytes:
            self._begun = True
            end = self._batch_bytes - _overlap(self._pending[: self._batch_bytes], _PASTE_END)
        else:
            return False
        batches.append(self._pending[:end])
        self._pending = self._pending[end:]
        return True


def _overlap(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of `mark`."""
    return next(length for length in range(len(mark) - 1, -1, -1) if data.endswith(mark[:length]))
