"""The private store over files: launch contexts, which hold secrets, and the screens' checkpoints."""

import hashlib
import os
import struct
from collections.abc import Sequence

import msgspec

from claudectl_protocol.faults import Rejected, StoreFailed
from claudectl_protocol.sessions import RunId, SessionId
from claudectld.core.session import LaunchContext
from claudectld.stores.document import SCHEMA
from claudectld.stores.envelope import Damaged, seal, unseal
from claudectld.stores.files import Directory, error_name, is_safe_name, make_directories

CONTEXTS = "env"
SETTINGS = "settings"
CHECKPOINTS = "checkpoints"

_MAGIC = b"CCKPT\x00\x00\x01"
_HEADER = struct.Struct(">8sQQ32s")
"""Magic, record offset, length of the data, SHA-256 of the three before and the data."""


class FilePrivateStore:
    """Files of the state directory that nobody else may read: directories 0700, files 0600.

    Args:
        state_directory: `$XDG_STATE_HOME/claudectl`; made when there is something to write.
    """

    def __init__(self, state_directory: str) -> None:
        self._state = state_directory

    def save_context(self, session: SessionId, context: LaunchContext) -> None:
        """Keep a session's launch context (0600, fsynced)."""
        built: dict[str, object] = msgspec.to_builtins(context, str_keys=True)
        self._write(CONTEXTS, session, seal(SCHEMA, built), durable=True)

    def load_context(self, session: SessionId) -> LaunchContext | None:
        """The launch context, or None when it is missing, unreadable, or a newer version's."""
        try:
            envelope = unseal(self._read(CONTEXTS, session))
            if envelope.schema != SCHEMA:
                return None
            return msgspec.convert(envelope.body, LaunchContext, str_keys=True)
        except (OSError, Damaged, msgspec.ValidationError):
            return None

    def save_checkpoint(self, run: RunId, offset: int, data: bytes) -> None:
        """Keep a screen's checkpoint; not fsynced: an older one costs only time."""
        header = _HEADER.pack(_MAGIC, offset, len(data), _digest(offset, data))
        self._write(CHECKPOINTS, run, header + data, durable=False)

    def load_checkpoint(self, run: RunId) -> tuple[int, bytes] | None:
        """The newest whole checkpoint of a run as (offset, data)."""
        try:
            content = self._read(CHECKPOINTS, run)
            magic, offset, length, digest = _HEADER.unpack_from(content)
        except (OSError, struct.error):
            return None
        data = content[_HEADER.size :]
        if magic != _MAGIC or length != len(data) or digest != _digest(offset, data):
            return None
        return offset, data

    def remove(self, session: SessionId, runs: Sequence[RunId]) -> None:
        """Delete the context, settings and checkpoints of a session."""
        self._delete(CONTEXTS, (_safe(session),))
        self._delete(SETTINGS, (f"{_safe(session)}.json",))
        self._delete(CHECKPOINTS, tuple(_safe(run) for run in runs))

    def _read(self, place: str, name: str) -> bytes:
        with Directory.open(os.path.join(self._state, place)) as directory:
            return directory.read(_safe(name))

    def _write(self, place: str, name: str, data: bytes, *, durable: bool) -> None:
        path = os.path.join(self._state, place)
        try:
            make_directories(self._state)
            with Directory.create(path) as directory:
                directory.replace(_safe(name), data, durable=durable)
        except OSError as error:
            raise Rejected(StoreFailed(path=os.path.join(path, name), error=error_name(error))) from error

    def _delete(self, place: str, names: Sequence[str]) -> None:
        path = os.path.join(self._state, place)
        try:
            with Directory.open(path) as directory:
                for name in names:
                    directory.remove(name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Rejected(StoreFailed(path=path, error=error_name(error))) from error


def _digest(offset: int, data: bytes) -> bytes:
    digest = hashlib.sha256(struct.pack(">8sQQ", _MAGIC, offset, len(data)))
    digest.update(data)
    return digest.digest()


def _safe(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError(f"not an id: {name!r}")
    return name
