"""What runs in the measured terminals: the same programs for every party, with output that can be checked."""

import sys
from pathlib import Path

READY = b"<ready>"
END = b"<the end>"
LINE_BYTES = 80

IDLE = ("sh", "-c", "exec cat")


def echo() -> tuple[str, ...]:
    """Types back each byte as it comes."""
    return ("sh", "-c", f"stty raw -echo; printf '{READY.decode()}'; exec cat")


def blocks(file: Path) -> tuple[str, ...]:
    """Prints a file, and then `block_end` of how often it has done so, for each line that is typed."""
    turn = 'cat "$1"; n=$((n + 1)); printf "<end %d>" $n'
    script = f"stty raw -echo; printf '{READY.decode()}'; n=0; while read go; do {turn}; done"
    return ("sh", "-c", script, "sh", str(file))


def block_end(number: int) -> bytes:
    """What follows a file that was printed for the `number`th time."""
    return b"<end %d>" % number


def gated(gate: Path, done: Path, file: Path, number: int) -> tuple[str, ...]:
    """Prints its number and a file as soon as somebody opens the pipe `gate`, says so into `done`, and waits."""
    said = f'printf "<%s>" "$4"; cat "$3"; printf "{END.decode()}"'
    script = f'stty raw -echo; : <"$1"; {said}; echo >"$2"; exec cat'
    return ("sh", "-c", script, "sh", str(gate), str(done), str(file), str(number))


def told(pipe: Path) -> tuple[str, ...]:
    """Says into a pipe that it runs, and waits."""
    return ("sh", "-c", 'echo >"$1"; exec cat', "sh", str(pipe))


TICKS_PER_S = 10
TICK_BYTES = 103
_TICKING = f"""
import os, time
os.write(1, b"{READY.decode()}\\r\\n")
number, at = 0, time.monotonic()
while True:
    number, at = number + 1, at + 1 / {TICKS_PER_S}
    time.sleep(max(0, at - time.monotonic()))
    os.write(1, b"tick %08d %0{TICK_BYTES - 16}d\\r\\n" % (number, 0))
"""


def ticking() -> tuple[str, ...]:
    """Prints about a kilobyte a second, in ten lines with rising numbers."""
    return (sys.executable, "-I", "-S", "-c", _TICKING)


def write_lines(path: Path, size_bytes: int, *, coloured: bool = False) -> bytes:
    """Make a file of numbered lines, all of the same length; returns its content."""
    lines = []
    for number in range(size_bytes // LINE_BYTES):
        text = b"\x1b[3%dmline\x1b[0m \x1b[1m" % (number % 8) if coloured else b"line "
        head = b"%09d " % number
        tail = b"\x1b[0m\r\n" if coloured else b"\r\n"
        filler = bytes(97 + (number + column) % 26 for column in range(10)) * 8
        lines.append(head + text + filler[: LINE_BYTES - len(head) - len(text) - len(tail)] + tail)
    content = b"".join(lines)
    path.write_bytes(content)
    return content


def missing_lines(received: bytes, content: bytes) -> int:
    """How many of a file's lines did not come, or came in another shape or order."""
    begin = max(received.find(content[:LINE_BYTES]), 0)
    if received.startswith(content, begin):
        return 0
    last = -1
    found = 0
    for line in received[begin:].split(b"\r\n"):
        number = int(line[:9]) if line[:9].isdigit() else -1
        if number > last and content[number * LINE_BYTES : (number + 1) * LINE_BYTES] == line + b"\r\n":
            found += 1
            last = number
    return content.count(b"\r\n") - found
