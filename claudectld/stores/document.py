"""One JSON file with its backup: which version can be believed, what was repaired, and the next version."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from claudectld.stores.envelope import Damaged, Envelope, JsonObject, seal, unseal
from claudectld.stores.files import BACKUP, Directory, Signature, error_name

SCHEMA = 1


class Condition(StrEnum):
    """What may be done with a document."""

    GOOD = "good"
    MISSING = "missing"
    """Neither the file nor its backup exists."""
    LOST = "lost"
    """Something was there and nothing of it can be used."""
    NEWER = "newer"
    """A later version wrote it: read-only."""
    FOREIGN = "foreign"
    """JSON of a shape that is not ours and may be another program's: read-only."""
    UNREADABLE = "unreadable"
    """The system would not let us read or repair it, and it may be good: read-only for now."""


class Reading(NamedTuple):
    """What a document holds. `notices` are phrases that begin with the file's name; `problem` is the one that
    matters for trusting the content, empty when all is well; `error` is an errno's name when unreadable."""

    condition: Condition
    body: JsonObject
    notices: tuple[str, ...] = ()
    problem: str = ""
    error: str = ""

    @property
    def is_writable(self) -> bool:
        """True where a new version may replace this one."""
        return self.condition in (Condition.GOOD, Condition.MISSING, Condition.LOST)


class Document:
    """A named document of one directory. Remembers the last version it saw, so that an unchanged file is not
    read again; the bodies it gives out must not be changed.

    Args:
        shape: says what is wrong with a body ("" when nothing is).
        lenient: a document without a schema number may be an older version's, and one of a wrong shape
            another program's: such a file is left alone.
    """

    def __init__(self, name: str, shape: Callable[[JsonObject], str], *, lenient: bool = False) -> None:
        self.name = name
        self._shape = shape
        self._lenient = lenient
        self._seen: tuple[Signature, Reading] | None = None

    def read(self, directory: Directory, now: float, *, repair: bool) -> Reading:
        """The newest version that can be believed. Never raises for bad content.

        Args:
            repair: set damaged files aside; without it they stay where they are.
        """
        try:
            signature = directory.signature(self.name)
            if self._seen is not None and signature == self._seen[0]:
                return self._seen[1]
            reading = self._reading(self._load(directory, self.name), self.name)
        except FileNotFoundError:
            return self._fall_back(directory, now, "is missing", repair=repair, missing=True)
        except Damaged as damage:
            return self._aside_and_back(directory, now, f"{damage}", repair=repair)
        except OSError as error:
            return self._unreadable(directory, error_name(error))
        if signature is not None:
            self._seen = (signature, reading)
        return reading

    def write(self, directory: Directory, body: JsonObject) -> None:
        """Replace the document and keep the version before as its backup; only after a writable `read`.

        Raises:
            OSError: nothing was changed.
        """
        signature = directory.replace(self.name, seal(SCHEMA, body), backup=True)
        self._seen = (signature, Reading(Condition.GOOD, body))

    def _load(self, directory: Directory, name: str) -> Envelope:
        try:
            envelope = unseal(directory.read(name))
        except OSError as error:
            if error_name(error) == "EFBIG":
                raise Damaged("is larger than 16 MiB") from error
            raise
        if envelope.schema == 0 and not self._lenient:
            raise Damaged("has no usable schema number")
        complaint = self._shape(envelope.body)
        if complaint and 0 < envelope.schema <= SCHEMA:
            raise Damaged(complaint)
        return envelope

    def _reading(self, envelope: Envelope, name: str) -> Reading:
        if envelope.schema > SCHEMA:
            why = f"{name} was written by a newer version (schema {envelope.schema}): it is only read"
            return Reading(Condition.NEWER, envelope.body, (why,), why)
        complaint = self._shape(envelope.body)
        if complaint:
            why = f"{name} {complaint}: it may be another program's and is left alone"
            return Reading(Condition.FOREIGN, {}, (why,), why)
        # Versions before the first schema had no checksums.
        if envelope.edited and envelope.schema:
            return Reading(
                Condition.GOOD, envelope.body, (f"{name} was edited by hand: its content is used",)
            )
        return Reading(Condition.GOOD, envelope.body)

    def _aside_and_back(self, directory: Directory, now: float, trouble: str, *, repair: bool) -> Reading:
        if not repair:
            return self._fall_back(directory, now, trouble, repair=False)
        try:
            aside = directory.set_aside(self.name, now)
        except OSError as error:
            return self._unreadable(directory, error_name(error), f"{trouble} and cannot be set aside")
        return self._fall_back(directory, now, f"{trouble} (kept as {aside})", repair=True)

    def _fall_back(
        self, directory: Directory, now: float, trouble: str, *, repair: bool, missing: bool = False
    ) -> Reading:
        backup = self.name + BACKUP
        try:
            older = self._reading(self._load(directory, backup), backup)
        except FileNotFoundError:
            if missing:
                return Reading(Condition.MISSING, {})
            why = f"{self.name} {trouble} and there is no backup: its content is lost"
        except Damaged as damage:
            why = f"{self.name} {trouble} and its backup {damage}: its content is lost"
            if repair:
                try:
                    why += f" (kept as {directory.set_aside(backup, now)})"
                except OSError as error:
                    return self._unreadable(directory, error_name(error), trouble)
        except OSError as error:
            return self._unreadable(directory, error_name(error), trouble)
        else:
            why = f"{self.name} {trouble}: the version before it is used"
            return older._replace(notices=(why, *older.notices), problem=older.problem or why)
        return Reading(Condition.LOST, {}, (why,), why)

    def _unreadable(self, directory: Directory, error: str, trouble: str = "cannot be read") -> Reading:
        why = f"{self.name} {trouble} ({error})"
        try:
            older = self._reading(self._load(directory, self.name + BACKUP), self.name + BACKUP)
        except (Damaged, OSError):
            return Reading(Condition.UNREADABLE, {}, (why,), why, error)
        why += ": the version before it is shown"
        return Reading(Condition.UNREADABLE, older.body, (why,), why, error)
