"""When bytes and names have reached the disk. Everything here raises OSError."""

import errno
import os
import sys


def sync_file(descriptor: int) -> None:
    """Bring a file's data to the disk, through the drive's cache where the system can say so."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_entries(descriptor)
    finally:
        os.close(descriptor)


def sync_entries(descriptor: int) -> None:
    """Bring an open directory's entries to the disk."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no fsync for directories.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
