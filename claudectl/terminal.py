"""The person's own terminal: raw mode, its size, and bringing it back to what a shell expects."""

import fcntl
import os
import struct
import termios
import tty
from types import TracebackType
from typing import Self

from claudectl_protocol.sessions import Size

# Everything a child may have switched on that would spoil a shell prompt. Saving the cursor first makes
# leaving the alternate screen harmless when the child was not in it.
_MODES_OFF = (
    b"\x1b[0m"
    b"\x1b7\x1b[?6l\x1b[r\x1b8"  # origin mode and scroll region; setting them moves the cursor
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[?2048l"  # focus, paste, sync, reports
    b"\x1b[<99u\x1b[=0u\x1b[>4m"  # kitty's keyboard protocol, xterm's modifyOtherKeys
    b"\x1b[?1l\x1b>\x1b(B\x0f\x1b[4l"  # cursor keys, keypad, character set, insert mode
    b"\x1b7\x1b[?1049l"
    b"\x1b[?7h\x1b[?25h\x1b[0 q"  # wrap, cursor, cursor shape
    b"\x1b]8;;\x1b\\"  # an open hyperlink
)
_COLOURS_BACK = b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"
_TITLE_SAVED = b"\x1b[22;2t"
_TITLE_BACK = b"\x1b[23;2t"
_ALTERNATE = b"\x1b[?1049h"
_AT_ONCE = b"\x1b[?2026h"
_AT_ONCE_OFF = b"\x1b[?2026l"
_CLEAR = b"\x1b[H\x1b[2J"
_BELOW = b"\r\n\x1b[J"
"""A fresh line with nothing of the child's picture below it."""
_COLOUR_COMMANDS = (b"4;", b"5;", b"10;", b"11;", b"12;")


def terminal_size(fd: int) -> Size | None:
    """The size of the terminal `fd`, or None when it is no terminal or does not know."""
    try:
        packed = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return None
    rows, cols, xpixel, ypixel = struct.unpack("HHHH", packed)
    return Size(cols=cols, rows=rows, xpixel=xpixel, ypixel=ypixel) if rows and cols else None


class Terminal:
    """A person's terminal lent to a child: keys come in unprocessed, the picture goes out as it is.

    As a context it switches raw mode on and always back, whatever ends the body. A descriptor that is no
    terminal is left as it is and gets no bytes of ours, only the child's.
    """

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self.input_fd = input_fd
        self.output_fd = output_fd
        self.has_keys = os.isatty(input_fd)
        self.paints = os.isatty(output_fd)
        """True when what is shown is seen on a screen."""
        self._saved: list[int | list[bytes | int]] | None = None
        self._colours = ColourTrace()

    @property
    def size(self) -> Size:
        """The present size; 80 by 24 when nobody knows."""
        return terminal_size(self.output_fd) or terminal_size(self.input_fd) or Size(cols=80, rows=24)

    def __enter__(self) -> Self:
        if self.has_keys:
            self._saved = termios.tcgetattr(self.input_fd)
        try:
            self.make_raw()
            if self.paints:
                self._write(_TITLE_SAVED)
        except BaseException:
            # A signal may end the process before the body, and thus its end, is reached.
            self._bring_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bring_back()

    def make_raw(self) -> None:
        """Raw mode, also again after a shell has set its own modes while this process was stopped."""
        if self.has_keys:
            tty.setraw(self.input_fd, termios.TCSADRAIN)

    def show(self, data: bytes) -> None:
        """Pass a child's output on as it is."""
        if self.paints:
            self._colours.feed(data)
        self._write(data)

    def repaint(self, picture: bytes) -> None:
        """Show a whole screen, which expects a freshly reset terminal."""
        if self.paints:
            # Clearing the main screen would wipe what was there before although the child is not in it.
            self._write(_MODES_OFF + _AT_ONCE + (b"" if _ALTERNATE in picture else _CLEAR))
        self.show(picture)
        if self.paints:
            self._write(_AT_ONCE_OFF)

    def _bring_back(self) -> None:
        try:
            if self.paints:
                colours = _COLOURS_BACK if self._colours.changed else b""
                self._write(_MODES_OFF + colours + _TITLE_BACK + _BELOW)
        except OSError:
            pass  # the terminal is gone, there is nothing to bring back
        finally:
            self._restore_modes()

    def _restore_modes(self) -> None:
        if self._saved is None:
            return
        try:
            # Flushing keeps the rest of a key's escape sequence out of the shell.
            termios.tcsetattr(self.input_fd, termios.TCSAFLUSH, self._saved)
        except termios.error:
            pass  # as above
        self._saved = None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.output_fd, view) :]


class ColourTrace:
    """Notices whether a child changed the terminal's palette: putting that back unasked would spoil a
    person's own colours."""

    def __init__(self) -> None:
        self.changed = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Look at some output; a command may be split anywhere."""
        if self.changed:
            return
        data = self._tail + data
        at = data.find(b"\x1b]")
        while at >= 0:
            if data.startswith(_COLOUR_COMMANDS, at + 2):
                self.changed = True
                return
            at = data.find(b"\x1b]", at + 2)
        self._tail = data[-4:]
