"""A run's screen made anew from its last checkpoint and what its record holds after it. Nothing is answered."""

from typing import NamedTuple

from claudectl_protocol.sessions import RunId, SessionId, Size
from claudectld.ports import PrivateStore, Records, Screen, Screens

CHUNK_BYTES = 256 * 1024


class Rebuilt(NamedTuple):
    """A screen that shows a record up to `offset`, at `size`; `saved_offset` is where its checkpoint was made."""

    screen: Screen
    offset: int
    saved_offset: int
    size: Size


def rebuild(
    session: SessionId,
    run: RunId,
    *,
    until: int,
    size: Size,
    records: Records,
    private: PrivateStore,
    screens: Screens,
) -> Rebuilt:
    """Blocking, for as long as it takes to read: call it in a worker thread.

    Args:
        until: the offset at which the screen is wanted.
        size: of the terminal, where the record does not say.
    """
    changes = records.sizes(session, run)
    size = changes[0].size if changes else size
    found = private.load_checkpoint(run)
    restored = screens.restored(found[1]) if found is not None and found[0] <= until else None
    saved_offset = found[0] if found is not None and restored is not None else 0
    screen = restored or screens.fresh(size)
    offset = saved_offset
    for change in changes:
        # A change right where the checkpoint lies may be in it or not: no byte lies between, so twice is once.
        if change.offset >= saved_offset:
            offset = _play(session, run, screen, offset, min(change.offset, until), records)
            if change.size != size:
                screen.resize(change.size)
        size = change.size
    offset = _play(session, run, screen, offset, until, records)
    return Rebuilt(screen, offset, saved_offset, size)


def _play(session: SessionId, run: RunId, screen: Screen, offset: int, until: int, records: Records) -> int:
    """Feed what was recorded between two offsets; returns where that has come to."""
    while offset < until:
        start, data = records.read(session, run, offset, min(CHUNK_BYTES, until - offset))
        # Without bytes there is a gap up to the end, or the segments are gone: nothing more can be read.
        end = min(start + len(data), until) if data else until
        if start < end:
            screen.feed(data[: end - start], live=False)
        offset = max(end, offset)
    return offset
