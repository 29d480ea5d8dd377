"""`claudectl ls` as people type it all the time, in the time of a bare interpreter: the daemon makes the text. Whatever
else must start at once asks the daemon here too.

Loads neither click nor msgspec. Whatever is out of the ordinary is left to the whole command line, which then does it
from the beginning: nothing here changes anything.
"""

import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_FLAGS = {
    "-g": "all_projects",
    "--all-projects": "all_projects",
    "-a": "stopped",
    "--all": "stopped",
    "-q": "ids",
    "--quiet": "ids",
}
_ANSWER_S = 5
"""After so long the whole command line asks again, and tells what is wrong."""
_FALLBACK_COLUMNS = 80
_READ_BYTES = 256 * 1024
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def answered(arguments: "Sequence[str]") -> int | None:
    """Do what the arguments say and return the exit code; None when that is for the whole command line to do."""
    if arguments[:1] != ["ls"] or not all(word in _FLAGS for word in arguments[1:]):
        return None
    if not (_is_utf8(sys.stdout) and _is_utf8(sys.stderr)):
        return None
    is_tty = sys.stdout.isatty()
    call: dict[str, object] = {
        "t": "table",
        "width": _columns() if is_tty else None,
        "colour": is_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        **{_FLAGS[word]: True for word in arguments[1:]},
    }
    try:
        found = _table(call)
        if found is None:
            return None
        text, notices = found
        for notice in notices:
            print(f"claudectl: {notice}", file=sys.stderr)
        sys.stdout.write(text)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and must not find the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return 0


def _is_utf8(stream: "TextIO | None") -> bool:
    return stream is not None and stream.encoding.lower() == "utf-8"


def _columns() -> int:
    """The terminal's width, as shutil finds it."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _FALLBACK_COLUMNS
    except (ValueError, OSError):
        return _FALLBACK_COLUMNS


def _table(call: dict[str, object]) -> tuple[str, list[str]] | None:
    """(the text, what is to be told beside it), or None when no daemon answers as it should."""
    try:
        match replied({**call, "cwd": os.getcwd()}):
            case {"text": str(text), **others}:
                notices = others.get("notices", [])
                return text, [str(notice) for notice in notices] if isinstance(notices, list) else []
    except OSError:
        pass
    return None


def replied(call: dict[str, object], path: str = "", limit_s: float = _ANSWER_S) -> object:
    """What the daemon (at the socket `path`, where one is given) replies to a call, as plain lists and dicts.

    None when it does not answer within `limit_s`, when it refuses, or when no daemon that can be trusted is there.
    """
    from claudectl.packing import unpacked
    from claudectl_protocol.endpoint import EndpointError
    from claudectl_protocol.framing import CONTROL, ProtocolError

    try:
        for kind, body in _answers(call, path, limit_s):
            match unpacked(body) if kind == CONTROL else None:
                case {"t": "welcome"}:
                    continue
                case {"t": "reply", "value": value}:
                    return value
                case _:
                    return None
    except (OSError, ValueError, EndpointError, ProtocolError):
        pass
    return None


def _answers(call: dict[str, object], path: str, limit_s: float) -> "Sequence[tuple[int, bytes]]":
    """The daemon's frames up to its second, which answers the call. Raises OSError, EndpointError, ProtocolError."""
    # `socket` would cost more than everything else here.
    import _socket
    from time import monotonic

    from claudectl.packing import packed
    from claudectl_protocol import __version__
    from claudectl_protocol.endpoint import check_socket_path, socket_path, state_directory, verify_directory
    from claudectl_protocol.framing import CONTROL, FrameReader, frame, preamble

    deadline = monotonic() + limit_s
    uid = os.getuid()
    path = path or socket_path(os.environ, uid, state_directory(os.environ, uid))
    check_socket_path(path)
    verify_directory(os.path.dirname(os.path.abspath(path)))
    hello = {"t": "hello", "client": __version__, "pid": os.getpid()}
    request = {"t": "call", "id": 1, "call": call}
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, _timeval(limit_s))
        sock.connect(path)
        if hasattr(_socket, "SO_PEERCRED"):
            peer = struct.unpack("3i", sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))[1]
        else:
            # macOS: LOCAL_PEERCRED (1) at SOL_LOCAL (0) gives a struct xucred, which is a version, then the uid.
            peer = struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1]
        if peer != os.geteuid():
            return ()
        sock.sendall(preamble() + frame(CONTROL, packed(hello)) + frame(CONTROL, packed(request)))
        reader = FrameReader()
        frames: list[tuple[int, bytes]] = []
        while len(frames) < 2:
            left_s = deadline - monotonic()
            if left_s <= 0:
                break
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, _timeval(left_s))
            data = sock.recv(_READ_BYTES)
            if not data:
                break
            frames += reader.feed(data)
        return frames
    finally:
        sock.close()


def _timeval(seconds: float) -> bytes:
    """A struct timeval of more than nothing, which would mean no limit."""
    microseconds = max(1, int(seconds * 1e6))
    return struct.pack("ll", *divmod(microseconds, 1_000_000))
