"""The golden frames of protocol/vectors: what they should be, and where they lie."""

from pathlib import Path
from typing import Literal

import msgspec

from claudectl_protocol import codec
from claudectl_protocol.framing import CONTROL, DATA, REPAINT, RESIZE, frame, preamble
from claudectl_protocol.messages import CONNECTION_ID, LIMITS, Hello, Welcome
from claudectl_protocol.stream import pack_output, pack_size
from tests.protocol.samples import CALLS, END, FAULTS, REPLIES, SIZE

DIRECTORY = Path(__file__).parents[2] / "protocol" / "vectors"

HELLO = Hello(client="1.2.3", pid=41, capabilities=("later",))
WELCOME = Welcome(server="4.5.6", pid=42, limits=LIMITS, capabilities=("later",))
CALL_ID = 7


class Vector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file: the bytes in hexadecimal, who says them, and what they mean."""

    about: str
    sender: Literal["client", "daemon", "both"]
    hex: str
    message: object = None
    """The control map; byte strings are base64 here, as JSON has none."""

    @property
    def bytes(self) -> bytes:
        """The bytes on the wire."""
        return bytes.fromhex(self.hex)


def expected() -> dict[str, Vector]:
    """Every vector by its file's path under DIRECTORY."""
    vectors = dict(_frames())
    for call in CALLS:
        body = codec.encode_call(CALL_ID, call)
        vectors[f"calls/{tag_of(call)}.json"] = _control(f"call {type(call).__name__}", "client", body)
    for reply in REPLIES:
        body = codec.encode_reply(CALL_ID, reply)
        name = type(reply).__name__
        vectors[f"replies/{name}.json"] = _control(f"reply {name}", "daemon", body)
    for fault in FAULTS:
        body = codec.encode_refusal(CALL_ID, fault)
        name = type(fault).__name__
        vectors[f"faults/{tag_of(fault)}.json"] = _control(f"refusal with {name}", "daemon", body)
    return vectors


def load(path: Path) -> Vector:
    """The vector in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Vector)


def dump(vector: Vector) -> bytes:
    """A vector as a file's content."""
    return msgspec.json.format(msgspec.json.encode(vector)) + b"\n"


def tag_of(struct: msgspec.Struct) -> str:
    """The tag under which a call or a fault travels."""
    return str(type(struct).__struct_config__.tag)


def _frames() -> dict[str, Vector]:
    dismissal = codec.encode_refusal(CONNECTION_ID, FAULTS[-2])
    return {
        "frames/preamble.json": Vector(about="preamble of 1.0", sender="both", hex=preamble().hex()),
        "frames/hello.json": _control("hello", "client", codec.encode_message(HELLO)),
        "frames/welcome.json": _control("welcome", "daemon", codec.encode_message(WELCOME)),
        "frames/end.json": _control("end of a stream", "daemon", codec.encode_message(END)),
        "frames/dismissal.json": _control("end of the connection", "daemon", dismissal),
        "frames/input.json": Vector(
            about="typed: y, carriage return", sender="client", hex=frame(DATA, b"y\r").hex()
        ),
        "frames/output.json": Vector(
            about="output 'ok', after which the record offset is 5000000000",
            sender="daemon",
            hex=frame(DATA, pack_output(5_000_000_000, b"ok")).hex(),
        ),
        "frames/repaint.json": Vector(
            about="repaint as of record offset 5000000000: ESC c, hi",
            sender="daemon",
            hex=frame(REPAINT, pack_output(5_000_000_000, b"\x1bchi")).hex(),
        ),
        "frames/resize.json": Vector(
            about="120 columns, 40 rows, 1440 x 900 pixels",
            sender="client",
            hex=frame(RESIZE, pack_size(SIZE)).hex(),
        ),
    }


def _control(about: str, sender: Literal["client", "daemon"], body: bytes) -> Vector:
    builtins: object = msgspec.msgpack.decode(body, strict=False)
    message: object = msgspec.json.decode(msgspec.json.encode(builtins))
    return Vector(about=about, sender=sender, hex=frame(CONTROL, body).hex(), message=message)
