"""Whose project files these are: the stamp that tells an owned project from a moved one and from a copy."""

import errno
import os
import uuid
from collections.abc import Callable
from enum import StrEnum

import msgspec

from claudectl_protocol.sessions import Value
from claudectld.stores.envelope import JsonObject
from claudectld.stores.files import BACKUP, Directory, make_directories

_ID_FILE = "id"
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


class Owner(Value):
    """Who may write: this user of this machine with this state directory. An empty `machine` is unknown."""

    machine: str
    uid: int
    state: str


class Stamp(Value):
    """What `project.json` says of the directory it was written in."""

    machine: str
    uid: int
    state: str
    path: str
    device: int
    inode: int

    def standing(self, here: "Stamp", is_gone: Callable[[str], bool]) -> "Standing":
        """What the directory `here` is if it carries this stamp.

        Args:
            is_gone: says that no project is at a path any more.
        """
        if self._stranger(here) or self.inode != here.inode:
            return Standing.COPY
        # Device numbers are given out anew at each boot on btrfs, NFS and overlays: at the same path
        # a different one proves nothing.
        if self.path == here.path:
            return Standing.OURS
        if self.device == here.device and is_gone(self.path):
            return Standing.MOVED
        return Standing.COPY

    def origin(self, here: "Stamp") -> str:
        """Where a copy comes from, as a phrase."""
        return self._stranger(here) or f"a copy of {self.path}"

    def _stranger(self, here: "Stamp") -> str:
        if self.uid != here.uid:
            return "made by another user"
        # An unknown machine differs from nobody.
        if self.machine and here.machine and self.machine != here.machine:
            return "made on another machine"
        if self.state != here.state:
            return "made with another state directory"
        return ""


class Standing(StrEnum):
    """What a project directory is to us."""

    OURS = "ours"
    MOVED = "moved"
    COPY = "copy"


def decode(body: JsonObject) -> Stamp:
    """The stamp in the content of a `project.json`. Raises msgspec.ValidationError."""
    return msgspec.convert(body.get("stamp"), Stamp)


def shape(body: JsonObject) -> str:
    """What is wrong with the content of a `project.json`, or nothing."""
    try:
        decode(body)
    except msgspec.ValidationError:
        return "has no stamp"
    return ""


def owner(state_directory: str) -> Owner:
    """The owner that works from a state directory; the directory and its id are made if they are missing.

    Raises:
        OSError: the state directory cannot be used.
    """
    make_directories(state_directory)
    with Directory.open(state_directory, follow=True) as directory:
        return Owner(machine=_machine(), uid=os.geteuid(), state=_state_id(directory))


def _state_id(directory: Directory) -> str:
    for name in (_ID_FILE, _ID_FILE + BACKUP):
        try:
            return str(uuid.UUID(directory.read(name).decode().strip()))
        except (FileNotFoundError, ValueError):
            continue
    # Without its id every project would look like a copy: two files from the start.
    made = str(uuid.uuid4())
    directory.replace(_ID_FILE + BACKUP, f"{made}\n".encode())
    directory.replace(_ID_FILE, f"{made}\n".encode())
    return made


def _machine() -> str:
    for path in _MACHINE_ID_FILES:
        try:
            with open(path, encoding="ascii") as file:
                return file.read(64).strip()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                continue
            raise
    return ""
