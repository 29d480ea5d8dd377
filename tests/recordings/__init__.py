"""Output of real programs, recorded once by `python -m tests.recordings.make` and committed."""

import gzip
from pathlib import Path

import msgspec

from claudectl_protocol.sessions import Size

DIRECTORY = Path(__file__).parent
SUFFIX = ".recording.gz"


class Recording(msgspec.Struct, frozen=True):
    """What a program printed, and from which byte on its terminal had which size; the first is at 0."""

    output: bytes
    sizes: tuple[tuple[int, Size], ...]

    def size_at(self, offset: int) -> Size:
        """The size that the byte at `offset` was printed at."""
        return [size for place, size in self.sizes if place <= offset][-1]

    def pieces(self, start: int = 0, end: int | None = None) -> list[tuple[Size | None, bytes]]:
        """The output from `start` to `end`, each piece with the size that is set before it, if one is.

        A size that is set at `start` is that of the terminal already.
        """
        stop = len(self.output) if end is None else end
        found: list[tuple[Size | None, bytes]] = []
        change: Size | None = None
        place = start
        for offset, size in self.sizes:
            if start < offset < stop:
                found.append((change, self.output[place:offset]))
                change, place = size, offset
        return [*found, (change, self.output[place:stop])]


def names() -> list[str]:
    """Every recording there is."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DIRECTORY.glob(f"*{SUFFIX}"))


def load(name: str) -> Recording:
    """A recording."""
    packed = (DIRECTORY / f"{name}{SUFFIX}").read_bytes()
    return msgspec.msgpack.decode(gzip.decompress(packed), type=Recording)


def save(name: str, recording: Recording) -> None:
    """Write a recording; equal ones are equal files."""
    packed = gzip.compress(msgspec.msgpack.encode(recording), mtime=0)
    (DIRECTORY / f"{name}{SUFFIX}").write_bytes(packed)
