"""A power cut: whatever was not synced may be gone, in any combination."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from claudectld.stores.document import Condition, Document
from claudectld.stores.envelope import JsonObject
from claudectld.stores.files import Directory


class Entry(NamedTuple):
    """A change of the directory: `name` now is the file `inode` (None: it is gone), and `source` is gone."""

    name: str
    inode: int | None
    source: str | None = None


class Disk:
    """Follows the calls of one writer in one directory, and tells what a power cut after each could leave."""

    def __init__(self, place: Path) -> None:
        self._written = {path.stat().st_ino: path.read_bytes() for path in place.iterdir()}
        self._synced = dict(self._written)
        self._now = {path.name: path.stat().st_ino for path in place.iterdir()}
        self._durable = dict(self._now)
        self._pending: list[Entry] = []
        self.left: list[list[dict[str, bytes]]] = []
        self._record()

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Follow the calls from now on."""
        real_open, real_write, real_fsync = os.open, os.write, os.fsync
        real_link, real_rename, real_unlink = os.link, os.rename, os.unlink

        def opened(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            descriptor = real_open(name, flags, mode, dir_fd=dir_fd)
            if flags & os.O_CREAT:
                inode = os.fstat(descriptor).st_ino
                self._written[inode] = self._synced[inode] = b""
                self._change(Entry(name, inode))
            return descriptor

        def write(descriptor: int, data: bytes) -> int:
            count = real_write(descriptor, data)
            self._written[os.fstat(descriptor).st_ino] += bytes(data[:count])
            self._record()
            return count

        def fsync(descriptor: int) -> None:
            real_fsync(descriptor)
            inode = os.fstat(descriptor).st_ino
            if inode in self._written:
                self._synced[inode] = self._written[inode]
            else:
                self._durable = dict(self._now)
                self._pending.clear()
            self._record()

        def link(source: str, target: str, **places: int) -> None:
            real_link(source, target, **places)  # type: ignore[arg-type]
            self._change(Entry(target, self._now[source]))

        def rename(source: str, target: str, **places: int) -> None:
            real_rename(source, target, **places)
            self._change(Entry(target, self._now[source], source))

        def unlink(name: str, *, dir_fd: int | None = None) -> None:
            real_unlink(name, dir_fd=dir_fd)
            self._change(Entry(name, None))

        for call in (write, fsync, link, rename, unlink):
            patch.setattr(os, call.__name__, call)
        patch.setattr(os, "open", opened)

    def _change(self, entry: Entry) -> None:
        _apply(self._now, entry)
        self._pending.append(entry)
        self._record()

    def _record(self) -> None:
        self.left.append(list(self._outcomes()))

    def _outcomes(self) -> Iterator[dict[str, bytes]]:
        for kept in itertools.product((False, True), repeat=len(self._pending)):
            names = dict(self._durable)
            for entry in itertools.compress(self._pending, kept):
                _apply(names, entry)
            yield {name: self._synced[inode] for name, inode in names.items()}


def _apply(names: dict[str, int], entry: Entry) -> None:
    if entry.source is not None:
        names.pop(entry.source, None)
    if entry.inode is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.inode


def _left_on(place: Path, files: dict[str, bytes]) -> JsonObject:
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    with Directory.open(str(place)) as directory:
        reading = Document("a", lambda _: "").read(directory, 0.0, repair=True)
    assert reading.condition in (Condition.GOOD, Condition.MISSING)
    assert reading.problem == ""
    return reading.body


def _save(place: Path, body: JsonObject) -> None:
    with Directory.open(str(place)) as directory:
        document = Document("a", lambda _: "")
        document.read(directory, 0.0, repair=True)
        document.write(directory, body)


@pytest.mark.parametrize("linkable", [True, False])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_power_cut_leaves_the_version_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, linkable: bool
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for number in range(before):
        _save(place, {"n": number})
    disk = Disk(place)

    with monkeypatch.context() as patch:
        disk.watch(patch)
        if not linkable:
            patch.setattr(os, "link", _refuse)
        _save(place, {"n": before})

    fresh = (tmp_path / f"cut-{number}" for number in itertools.count())
    found = [[_left_on(next(fresh), files) for files in moment] for moment in disk.left]
    old: JsonObject = {"n": before - 1} if before else {}
    new: JsonObject = {"n": before}
    assert found[0] == [old]
    assert all(body in (old, new) for moment in found for body in moment)
    assert found[-1] == [new]


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no links here")
