"""Bytes that survive a crash: a private directory with one atomic replace and one bounded read.

What the bytes mean is document.py's; errors stay OSErrors here and become faults in the stores.
"""

import errno
import os
import re
import secrets
import stat
import time
from types import TracebackType
from typing import NamedTuple, Self

from claudectld.crashpoint import crashpoint
from claudectld.stores.disk import sync_directory, sync_entries, sync_file

LIMIT_BYTES = 16 * 1024 * 1024
"""No file of ours is larger; a larger one is damaged, and is not loaded to find out."""
BACKUP = ".backup"
CORRUPT_KEPT = 5
LEFTOVER_AGE_S = 600.0

_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class Untrusted(OSError):
    """A directory of ours is a symbolic link, no directory, or belongs to another user."""


class Identity(NamedTuple):
    """What a directory is, whatever its path: device and inode."""

    device: int
    inode: int


class Signature(NamedTuple):
    """Tells one version of a file from another without reading it."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


def error_name(error: OSError) -> str:
    """The errno's name, such as ENOSPC."""
    return errno.errorcode.get(error.errno or errno.EIO, "EIO")


def is_safe_name(name: str) -> bool:
    """True for a name that stays one visible file of its directory, whoever made it up."""
    return _SAFE_NAME.fullmatch(name) is not None


class Directory:
    """One private directory, held open so that nobody can swap it for another between two steps.

    Every method raises OSError. Modes are set explicitly and never depend on the umask.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self.path = path

    @classmethod
    def open(cls, path: str, *, follow: bool = False) -> Self:
        """Open an existing directory of ours.

        Args:
            follow: accept a symbolic link, for places that people choose (`~/.config/claudectl`).

        Raises:
            Untrusted: it is a symbolic link, no directory, or another user's.
            OSError: it is missing or out of reach.
        """
        if not follow and not stat.S_ISDIR(os.lstat(path).st_mode):
            raise Untrusted(errno.ENOTDIR, "not a directory", path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        if os.fstat(descriptor).st_uid != os.geteuid():
            os.close(descriptor)
            raise Untrusted(errno.EPERM, "belongs to another user", path)
        return cls(descriptor, path)

    @classmethod
    def create(cls, path: str, *, follow: bool = False) -> Self:
        """Open a directory, made with mode 0700 if it is missing; its parent must exist."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        else:
            if os.lstat(path).st_mode & 0o700 != 0o700:
                # A umask that takes from the owner: without these bits it could not even be opened.
                os.chmod(path, 0o700)
            sync_directory(os.path.dirname(path))
        directory = cls.open(path, follow=follow)
        if stat.S_IMODE(os.fstat(directory._descriptor).st_mode) != 0o700:
            os.fchmod(directory._descriptor, 0o700)
        return directory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    @property
    def identity(self) -> Identity:
        """Device and inode."""
        status = os.fstat(self._descriptor)
        return Identity(status.st_dev, status.st_ino)

    @property
    def is_writable(self) -> bool:
        """False on a read-only file system or where permissions forbid writing."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self._descriptor)

    def check_writable(self) -> None:
        """Raise EROFS or EACCES where nothing can be written."""
        if not self.is_writable:
            read_only = os.fstatvfs(self._descriptor).f_flag & os.ST_RDONLY
            number = errno.EROFS if read_only else errno.EACCES
            raise OSError(number, os.strerror(number), self.path)

    def signature(self, name: str) -> Signature | None:
        """The present version of a file, or None when there is none."""
        try:
            return _signature(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """All names in the directory, sorted."""
        return sorted(os.listdir(self._descriptor))

    def read(self, name: str) -> bytes:
        """The whole file.

        Raises:
            OSError: EFBIG over 16 MiB (nothing is loaded), EINVAL for anything but a regular file, ELOOP
                for a symbolic link, or what else the system says.
        """
        # O_NONBLOCK: a FIFO of this name must not hang the daemon.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._descriptor)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            pieces: list[bytes] = []
            left = LIMIT_BYTES + 1
            if status.st_size < left:
                while left and (piece := os.read(descriptor, min(left, 1 << 20))):
                    pieces.append(piece)
                    left -= len(piece)
            if status.st_size > LIMIT_BYTES or not left:
                raise OSError(errno.EFBIG, "larger than 16 MiB", name)
            return b"".join(pieces)
        finally:
            os.close(descriptor)

    def replace(self, name: str, data: bytes, *, backup: bool = False, durable: bool = True) -> Signature:
        """Replace a file at once: whoever looks, whenever the machine dies, finds the old or the new version.

        Args:
            backup: keep the present version as NAME.backup; say so only if it is known to be good.
            durable: False leaves the moment of reaching the disk to the system.
        """
        if len(data) > LIMIT_BYTES:
            raise OSError(errno.EFBIG, "larger than 16 MiB", name)
        temporary = _temporary_name(name)
        try:
            signature = self._write_new(temporary, data, durable=durable)
            if backup:
                self._keep(name)
            self._rename(temporary, name)
        except OSError:
            self._discard(temporary)
            raise
        crashpoint("replace-renamed")
        if durable:
            sync_entries(self._descriptor)
        crashpoint("replace-durable")
        return signature

    def create_exclusively(self, name: str, data: bytes) -> None:
        """Make a file that must not exist yet, with all its content at once. Raises FileExistsError."""
        temporary = _temporary_name(name)
        try:
            self._write_new(temporary, data, durable=True)
            # A link and not O_EXCL on the name itself: a crash in between would leave an empty file.
            self._link(temporary, name)
        finally:
            self._discard(temporary)
        sync_entries(self._descriptor)

    def set_aside(self, name: str, at: float) -> str:
        """Rename an unusable file to NAME.corrupt-DATE, keep the last five of those, return the new name."""
        stem = f"{name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}"
        present = set(self.names())
        aside = next(n for n in (stem, *(f"{stem}-{i:02d}" for i in range(1, 1000))) if n not in present)
        self._rename(name, aside)
        older = sorted(n for n in (present | {aside}) if n.startswith(f"{name}.corrupt-"))
        for surplus in older[:-CORRUPT_KEPT]:
            os.unlink(surplus, dir_fd=self._descriptor)
        sync_entries(self._descriptor)
        return aside

    def remove(self, name: str) -> None:
        """Delete a file if it is there, and what a crash left of earlier versions (it may hold secrets)."""
        for present in self.names():
            if present == name or _is_temporary_of(present, name):
                self._discard(present)
        sync_entries(self._descriptor)

    def sweep(self, name: str, now: float) -> None:
        """Delete what crashed writers of a file left behind, once too old to have a writer still."""
        for present in self.names():
            if _is_temporary_of(present, name):
                try:
                    status = os.stat(present, dir_fd=self._descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) and now - status.st_mtime > LEFTOVER_AGE_S:
                    self._discard(present)

    def _write_new(self, temporary: str, data: bytes, *, durable: bool) -> Signature:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=self._descriptor)
        try:
            os.fchmod(descriptor, 0o600)
            crashpoint("replace-opened")
            half = len(data) // 2
            _write_all(descriptor, data[:half])
            crashpoint("replace-half-written")
            _write_all(descriptor, data[half:])
            crashpoint("replace-written")
            if durable:
                sync_file(descriptor)
            crashpoint("replace-synced")
            return _signature(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _keep(self, name: str) -> None:
        # A second name and not a rename, so that `name` itself never goes missing.
        temporary = _temporary_name(name + BACKUP)
        try:
            self._duplicate(name, temporary)
            crashpoint("replace-linked")
            self._rename(temporary, name + BACKUP)
            crashpoint("replace-backed-up")
        except FileNotFoundError:
            return
        finally:
            # Also after success: rename() between two names of one inode does nothing and leaves the first.
            self._discard(temporary)

    def _duplicate(self, name: str, target: str) -> None:
        try:
            self._link(name, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            # No hard links here (FAT, some network mounts).
            self._write_new(target, self.read(name), durable=True)

    def _link(self, source: str, target: str) -> None:
        os.link(
            source, target, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False
        )

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def _discard(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            pass


def make_directories(path: str) -> None:
    """Make a directory and its missing parents, each with mode 0700."""
    missing: list[str] = []
    here = os.path.abspath(path)
    while not os.path.lexists(here):
        missing.append(here)
        here = os.path.dirname(here)
    for directory in reversed(missing):
        with Directory.create(directory):
            pass


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _signature(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _temporary_name(name: str) -> str:
    # Random, so that two writers never share one; hidden, so that nobody takes it for a file of ours.
    return f".{name}.{secrets.token_hex(8)}.tmp"


def _is_temporary_of(present: str, name: str) -> bool:
    return re.fullmatch(rf"\.{re.escape(name)}(\.backup)?\.[0-9a-f]{{16}}\.tmp", present) is not None
