"""What sessions run in end-to-end tests: small Python programs whose output proves what happened to it."""

NUMBERED_LINES = """
import select, sys
# Prints numbered lines until somebody types 'stop', then the last number, then leaves with 42.
out = sys.stdout
number = 0
while True:
    for _ in range(50):
        out.write(f"line {number:09d}\\n")
        number += 1
    out.flush()
    if select.select([sys.stdin], [], [], 0.01)[0]:
        break
print(f"end {number:09d}", flush=True)
sys.exit(42)
"""

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("got " + line.strip(), flush=True)
"""

WAIT = """
import signal, sys
print("ready", flush=True)
sys.stdin.read()
"""


def numbers_in(output: bytes) -> tuple[list[int], int | None]:
    """(the numbers of all whole lines, the number behind `end` if it was printed)."""
    numbers = []
    end = None
    for line in output.split(b"\n"):
        words = line.strip().split(b" ")
        if len(words) == 2 and words[0] == b"line" and len(words[1]) == 9:
            numbers.append(int(words[1]))
        elif len(words) == 2 and words[0] == b"end":
            end = int(words[1])
    return numbers, end


STYLED_LINES = """
import sys
# A plain program: styles, wide characters, tabs, more lines than the screen has; then an echo.
for number in range(60):
    print(f"\\x1b[{31 + number % 7}mline {number}\\x1b[0m \\x1b[1;4mbold\\x1b[0m \\t 漢字 \\x1b[7minverse\\x1b[0m")
print("\\x1b[2J\\x1b[Htop", flush=True)
for number in range(40):
    print(f"\\x1b[4{number % 8}mrow {number}\\x1b[K\\x1b[0m", flush=True)
print("all printed", flush=True)
for line in sys.stdin:
    print(line.strip() + " again", flush=True)
"""

REPAINTS_WHEN_CHANGED = """
import fcntl, os, select, signal, struct, sys, termios, tty
# A full-screen program that, like most, paints anew only if the size it finds is another than the one it knows.
tty.setraw(0)
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(signal.SIGWINCH, lambda *_: None)
known = None
os.write(1, b"\\x1b[?1049h")
while True:
    size = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2]
    if size != known:
        known = size
        rows, cols = size
        picture = "".join(f"\\x1b[{row + 1};1H" + chr(97 + row % 26) * (cols - 1) for row in range(rows))
        os.write(1, f"\\x1b[H\\x1b[2J{picture}\\x1b[2;3H {cols} x {rows} ".encode())
    select.select([reader], [], [])
    os.read(reader, 4096)
"""

REPAINTS = """
import fcntl, os, select, signal, struct, sys, termios, tty
# A full-screen program: draws its size, the last key, and a pattern that depends on every cell.
tty.setraw(0)
key = b""
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(signal.SIGWINCH, lambda *_: None)
def draw():
    rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    out = ["\\x1b[H\\x1b[2J"]
    for row in range(rows):
        line = "".join(chr(97 + (row + col) % 26) for col in range(cols - 1))
        out.append(f"\\x1b[{row + 1};1H\\x1b[3{row % 8}m{line}")
    out.append(f"\\x1b[0m\\x1b[2;3H {cols} x {rows} \\x1b[3;3H key {ascii(key)[1:]} ")
    os.write(1, "".join(out).encode())
os.write(1, b"\\x1b[?1049h\\x1b[?2004h\\x1b[?1000h\\x1b[?1006h")
draw()
while True:
    ready, _, _ = select.select([0, reader], [], [])
    if reader in ready:
        os.read(reader, 4096)
    if 0 in ready:
        data = os.read(0, 4096)
        if not data:
            break
        key = data
    draw()
"""
