"""What can be asked of the keeper, as values, and the only place where headers are read and distrusted."""

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from .processes import Identity
from .wire import Frame

MAX_TYPED_BYTES = 1 << 20

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_T = TypeVar("_T")


class Refused(Exception):
    """A request that is not done. `error` is one word from PROTOCOL.md, `detail` a sentence for people."""

    def __init__(self, error: str, detail: str = "") -> None:
        super().__init__(error, detail)
        self.error = error
        self.detail = detail


class Window(NamedTuple):
    """A terminal's size in cells and, where known, in pixels."""

    cols: int
    rows: int
    xpixel: int
    ypixel: int


class Hello(NamedTuple):
    control: bool


class Ping(NamedTuple):
    pass


class Legs(NamedTuple):
    runs: tuple[str, ...]


class Spawn(NamedTuple):
    """`rlimits` maps resource numbers to (soft, hard), -1 for none. No `groups` means the keeper's own."""

    run: str
    session: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    umask: int
    rlimits: Mapping[int, tuple[int, int]]
    groups: tuple[int, ...]
    window: Window
    segment_bytes: int
    limit_bytes: int


class Acknowledge(NamedTuple):
    run: str


class Forget(NamedTuple):
    session: str
    run: str


class Type(NamedTuple):
    run: str
    batch: str
    data: bytes


class Resize(NamedTuple):
    run: str
    window: Window


class Signal(NamedTuple):
    run: str
    signal: int


class End(NamedTuple):
    run: str
    signal: int


class Watch(NamedTuple):
    run: str
    size_bytes: int


class Adopt(NamedTuple):
    """`fds` are a master and, where there is one, the child's pidfd. Who takes the request owns them."""

    run: str
    session: str
    process: Identity
    segment_bytes: int
    limit_bytes: int
    fds: tuple[int, ...]


class Upgrade(NamedTuple):
    """`copy` is the directory of the code to go on with, `interpreter` what runs it; both absolute."""

    copy: str
    interpreter: str


Request = (
    Hello
    | Ping
    | Legs
    | Spawn
    | Acknowledge
    | Forget
    | Type
    | Resize
    | Signal
    | End
    | Watch
    | Adopt
    | Upgrade
)


class Fields:
    """A header's fields, read by type. Every method raises Refused("bad_request") when a field is another thing."""

    def __init__(self, header: Mapping[str, object]) -> None:
        self._header = header

    def text(self, name: str) -> str:
        return self._text(name, self._header.get(name))

    def has(self, name: str) -> bool:
        return self._header.get(name) is not None

    def path(self, name: str) -> str:
        text = self.text(name)
        if not text.startswith("/"):
            raise Refused("bad_request", f"{name} is no absolute path")
        return text

    def number(self, name: str, low: int, high: int) -> int:
        return self._number(name, self._header.get(name), low, high)

    def real(self, name: str) -> float:
        value = self._header.get(name)
        return float(value) if type(value) is int else self._typed(name, value, float)

    def flag(self, name: str) -> bool:
        return self._typed(name, self._header.get(name), bool)

    def uuid(self, name: str) -> str:
        return self._uuid(name, self._header.get(name))

    def uuids(self, name: str) -> tuple[str, ...]:
        return tuple(self._uuid(name, item) for item in self._list(name))

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._text(name, item) for item in self._list(name))

    def joined(self, name: str) -> tuple[str, ...]:
        """Texts of at least one character, with a NUL between two."""
        text = self._typed(name, self._header.get(name), str)
        return tuple(text.split("\0")) if text else ()

    def numbers(self, name: str, low: int, high: int) -> tuple[int, ...]:
        return tuple(self._number(name, item, low, high) for item in self._list(name))

    def pair(self, name: str, low: int, high: int) -> tuple[int, int]:
        return self._pair(name, self._header.get(name), low, high)

    def pairs(self, name: str, low: int, high: int) -> tuple[tuple[int, int], ...]:
        return tuple(self._pair(name, item, low, high) for item in self._list(name))

    def inner(self, name: str) -> "Fields":
        return Fields(self._object(name))

    def inners(self, name: str) -> "tuple[Fields, ...]":
        return tuple(Fields(self._typed(name, item, dict)) for item in self._list(name))

    def environment(self, name: str) -> dict[str, str]:
        found = {self._text(name, key): self._text(name, value) for key, value in self._object(name).items()}
        if any(not key or "=" in key for key in found):
            raise Refused("bad_request", f"{name} has a name that no variable can have")
        return found

    def limits(self, name: str) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for key, value in self._object(name).items():
            if not key.isascii() or not key.isdigit():
                raise Refused("bad_request", f"{name} maps numbers to pairs")
            found[int(key[:9])] = self._pair(name, value, -1, (1 << 63) - 1)
        return found

    def window(self) -> Window:
        return Window(*(self.number(name, 0, 65535) for name in Window._fields))

    def _pair(self, name: str, value: object, low: int, high: int) -> tuple[int, int]:
        pair = self._typed(name, value, list)
        if len(pair) != 2:
            raise Refused("bad_request", f"{name} is no pair")
        first, second = (self._number(name, item, low, high) for item in pair)
        return first, second

    def _object(self, name: str) -> dict[str, object]:
        return self._typed(name, self._header.get(name), dict)

    def _list(self, name: str) -> list[object]:
        return self._typed(name, self._header.get(name), list)

    def _uuid(self, name: str, value: object) -> str:
        text = self._text(name, value)
        if _UUID.fullmatch(text) is None:
            raise Refused("bad_request", f"{name} is no uuid")
        return text

    def _text(self, name: str, value: object) -> str:
        text = self._typed(name, value, str)
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise Refused("bad_request", f"{name} is no text") from error
        if "\0" in text:
            raise Refused("bad_request", f"{name} holds a NUL")
        return text

    def _number(self, name: str, value: object, low: int, high: int) -> int:
        # bool is an int to Python, never to a peer.
        if type(value) is not int or not low <= value <= high:
            raise Refused("bad_request", f"{name} is no number from {low} to {high}")
        return value

    def _typed(self, name: str, value: object, kind: type[_T]) -> _T:
        if not isinstance(value, kind):
            raise Refused("bad_request", f"{name} is no {kind.__name__}")
        return value


_MAX_BYTES = (1 << 63) - 1


def parse(frame: Frame) -> Request:
    """The request in a frame. Raises Refused("bad_request" | "unsupported"); its fds stay the caller's then."""
    fields = Fields(frame.header)
    name = fields.text("request")
    if frame.fds and name != "adopt":
        raise Refused("bad_request", f"{name} takes no descriptors")
    match name:
        case "hello":
            return Hello(fields.flag("control"))
        case "ping":
            return Ping()
        case "legs":
            return Legs(fields.uuids("runs"))
        case "spawn":
            return _spawn(fields)
        case "acknowledge":
            return Acknowledge(fields.uuid("run"))
        case "forget":
            return Forget(fields.uuid("session"), fields.uuid("run"))
        case "type":
            return Type(fields.uuid("run"), _batch(fields), frame.payload)
        case "resize":
            return Resize(fields.uuid("run"), fields.inner("size").window())
        case "signal":
            return Signal(fields.uuid("run"), fields.number("signal", 0, 64))
        case "end":
            return End(fields.uuid("run"), fields.number("signal", 0, 64))
        case "watch":
            return Watch(fields.uuid("run"), fields.number("size_bytes", 0, _MAX_BYTES))
        case "adopt":
            return _adopt(fields, frame.fds)
        case "upgrade":
            return Upgrade(fields.path("copy"), fields.path("interpreter"))
    raise Refused("unsupported", "this keeper does not know the request")


def _batch(fields: Fields) -> str:
    batch = fields.text("batch")
    if not 0 < len(batch) <= 200:
        raise Refused("bad_request", "batch is not 1 to 200 characters long")
    return batch


def _spawn(fields: Fields) -> Spawn:
    argv = fields.texts("argv")
    if not argv:
        raise Refused("bad_request", "argv is empty")
    return Spawn(
        run=fields.uuid("run"),
        session=fields.uuid("session"),
        argv=argv,
        cwd=fields.text("cwd"),
        env=fields.environment("env"),
        umask=fields.number("umask", 0, 0o777),
        rlimits=fields.limits("rlimits"),
        groups=fields.numbers("groups", 0, (1 << 32) - 2),
        window=fields.inner("size").window(),
        segment_bytes=fields.number("segment_bytes", 1, _MAX_BYTES),
        limit_bytes=fields.number("limit_bytes", 1, _MAX_BYTES),
    )


def _adopt(fields: Fields, fds: tuple[int, ...]) -> Adopt:
    if len(fds) not in (1, 2):
        raise Refused("bad_request", "adopt takes a master and perhaps a pidfd")
    process = fields.inner("process")
    return Adopt(
        run=fields.uuid("run"),
        session=fields.uuid("session"),
        process=Identity(
            process.text("boot_id"),
            process.number("pid", 1, (1 << 31) - 1),
            process.number("start_ticks", 0, _MAX_BYTES),
        ),
        segment_bytes=fields.number("segment_bytes", 1, _MAX_BYTES),
        limit_bytes=fields.number("limit_bytes", 1, _MAX_BYTES),
        fds=fds,
    )
