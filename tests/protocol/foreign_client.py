"""A client made from protocol/README.md alone: lists, starts, attaches, types, reads. Usage: SOCKET DIRECTORY"""

import io
import os
import socket
import struct
import sys
import uuid

FORMS = dict(zip(range(0xC4, 0xE0), "BHI???fdBHIQbhiq?????BHIHIHI", strict=True))


def pack(value: object) -> bytes:
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, dict):
        return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xDB, len(str(value).encode())) + str(value).encode()


def unpack(data: io.BytesIO) -> object:
    tag = data.read(1)[0]
    if tag <= 0x7F or tag >= 0xE0:
        return tag if tag <= 0x7F else tag - 256
    if tag in (0xC0, 0xC2, 0xC3):
        return None if tag == 0xC0 else tag == 0xC3
    form = f">{FORMS.get(tag, '')}"
    (size,) = struct.unpack(form, data.read(struct.calcsize(form))) or (tag & (31 if tag >= 0xA0 else 15),)
    if 0xCA <= tag <= 0xD3:
        return size
    if tag <= 0x8F or tag >= 0xDE:
        return {unpack(data): unpack(data) for _ in range(size)}
    if tag <= 0x9F or tag in (0xDC, 0xDD):
        return [unpack(data) for _ in range(size)]
    return data.read(size) if tag in (0xC4, 0xC5, 0xC6) else data.read(size).decode()


def talk(kind: bytes = b"", body: bytes = b"") -> tuple[bytes, bytes]:
    daemon.sendall(struct.pack(">I", 1 + len(body)) + kind + body if kind else b"")
    (length,) = struct.unpack(">I", received.read(4))
    return received.read(1), received.read(length - 1)


def call(tag: str, **fields: object) -> dict[str, object]:
    _, body = talk(b"C", pack({"t": "call", "id": 1, "call": {"t": tag, **fields}}))
    answer = unpack(io.BytesIO(body))
    assert isinstance(answer, dict)
    assert answer["t"] == "reply", answer
    return dict(answer["value"])


daemon = socket.socket(socket.AF_UNIX)
daemon.connect(sys.argv[1])
received = daemon.makefile("rb")
daemon.sendall(b"cctl" + struct.pack(">HH", 1, 0))
assert received.read(8)[:6] == b"cctl\x00\x01"
talk(b"C", pack({"t": "hello", "client": "foreign 1", "pid": os.getpid()}))
print("before:", call("list", cwd=sys.argv[2])["sessions"])
shell = {"program": "/bin/sh", "args": ["-c", "read -r line && echo got $line && exit 5"]}
made = call("new", key=str(uuid.uuid4()), cwd=sys.argv[2], name="foreign", **shell)
print("started:", made["name"], made["lifecycle"])
call("attach", target={"text": made["id"], "cwd": "/"}, size={"cols": 80, "rows": 24})
kind, body = talk(b"D", b"hello\r")
while kind in (b"D", b"S"):
    print("output:", body[8:])
    kind, body = talk()
print("end:", unpack(io.BytesIO(body)))
