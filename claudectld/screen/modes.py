"""The modes a program has set in its terminal, as a value, and the bytes that bring a terminal to them.

Left out on purpose: synchronized output (2026), whose end may never come for a client, and what no sequence can
set back (cursor position, tab stops).
"""

import msgspec

MODES_OFF = (1, 5, 6, 9, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2031, 2048)
"""DEC private modes that are tracked and off in a fresh terminal."""
MODES_ON = (7, 25)
"""DEC private modes that are tracked and on in a fresh terminal."""
ORIGIN = 6
INSERT = 4
NEWLINE = 20

ABORT = b"\x18\x1b\\"
"""Ends what an earlier stream may have left open."""
BASE = (
    b"\x1b[<99u\x1b[=0u\x1b[>4m"
    + b"\x1b[?%sl" % b";".join(b"%d" % mode for mode in MODES_OFF)
    + b"\x1b[?%sh" % b";".join(b"%d" % mode for mode in MODES_ON)
    + b"\x1b[4;20l\x1b>\x1b[0 q\x1b(B\x1b)B\x1b*B\x1b+B\x0f"
    b"\x1b]8;;\x1b\\\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"
    b"\x1b[r\x1b[0m"
)
"""Default modes of the screen in use."""
RESET = ABORT + b"\x1b[?2026l\x1b[<99u\x1b[?1049l" + BASE + b"\x1b[H\x1b[2J"
"""Brings a terminal from anywhere to a clear main screen and default modes. No `ESC c`: that would cost a person the
scrollback of their own terminal."""


class Rendition(msgspec.Struct, frozen=True, omit_defaults=True):
    """How printed characters look and which set they are taken from: what save cursor (ESC 7) keeps beside the place.

    `sgr` are the parameters of the SGR sequences that count, oldest first.
    """

    sgr: tuple[bytes, ...] = ()
    charsets: bytes = b"BBBB"
    """The designation of G0 to G3, one byte each."""
    shift: bool = False
    """True after SO: G1 is in use."""
    origin: bool = False


class Modes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything tracked. The default value is a fresh terminal."""

    changed: tuple[int, ...] = ()
    """Private modes that are not as in a fresh terminal, in the order they were changed (the last mouse mode wins)."""
    ansi: tuple[int, ...] = ()
    """ECMA-48 modes that are set: insert, newline."""
    alternate: int = 0
    """The mode (47, 1047, 1049) that switched to the alternate screen, 0 on the main screen."""
    keypad: bool = False
    kitty: tuple[tuple[int, ...], tuple[int, ...]] = ((0,), (0,))
    """The keyboard flags of the main and the alternate screen; the last of a stack counts."""
    other_keys: bytes = b""
    """The value of modifyOtherKeys."""
    region: bytes = b""
    """The parameters of the scroll region (DECSTBM)."""
    cursor_shape: bytes = b""
    title: bytes | None = None
    rendition: Rendition = Rendition()
    saved: tuple[Rendition, Rendition] = (Rendition(), Rendition())
    """What ESC 7 saved on the main and the alternate screen."""


FRESH = Modes()


def transition(before: Modes, after: Modes) -> bytes:
    """The bytes that take a terminal with the modes `before` to those of `after`.

    The place of the cursor is lost when the scroll region or origin mode differs, and that of a saved one when
    what was saved with it differs.
    """
    parts: list[bytes] = []
    rendition = before.rendition
    if not after.alternate and before.alternate:
        parts.append(b"\x1b[?%dl" % before.alternate)
        rendition = before.saved[0] if before.alternate == 1049 else rendition
    if before.kitty[0] != after.kitty[0] and not (before.alternate and after.alternate):
        parts.append(_kitty(before.kitty[0], after.kitty[0]))
    if after.alternate and not before.alternate:
        # 1049 saves the rendition, so it has to be the one that leaving the alternate screen will bring back.
        if after.alternate == 1049:
            parts += _rendition(rendition, after.saved[0])
            rendition = after.saved[0]
        parts.append(b"\x1b[?%dh" % after.alternate)
    if before.kitty[1] != after.kitty[1]:
        keyboard = _kitty(before.kitty[1], after.kitty[1])
        # Each screen has a stack of its own, which can be reached from that screen only.
        parts.append(keyboard if after.alternate else b"\x1b[?47h%s\x1b[?47l" % keyboard)
    parts += _private(before.changed, after.changed)
    parts += [b"\x1b[%dl" % mode for mode in before.ansi if mode not in after.ansi]
    parts += [b"\x1b[%dh" % mode for mode in after.ansi if mode not in before.ansi]
    if before.keypad != after.keypad:
        parts.append(b"\x1b=" if after.keypad else b"\x1b>")
    if before.other_keys != after.other_keys:
        parts.append(b"\x1b[>4;%sm" % after.other_keys if after.other_keys else b"\x1b[>4m")
    if before.cursor_shape != after.cursor_shape:
        parts.append(b"\x1b[%s q" % (after.cursor_shape or b"0"))
    if after.title is not None and before.title != after.title:
        parts.append(b"\x1b]2;%s\x1b\\" % after.title)
    if before.region != after.region:
        parts.append(b"\x1b[%sr" % after.region)
    screen = 1 if after.alternate else 0
    if before.saved[screen] != after.saved[screen]:
        parts += [*_rendition(rendition, after.saved[screen]), b"\x1b7"]
        rendition = after.saved[screen]
    return b"".join([*parts, *_rendition(rendition, after.rendition)])


def _kitty(before: tuple[int, ...], after: tuple[int, ...]) -> bytes:
    pops = b"\x1b[<%du" % (len(before) - 1) if len(before) > 1 else b""
    pushes = b"".join(b"\x1b[>%du" % flags for flags in after[1:])
    return pops + b"\x1b[=%du" % after[0] + pushes


def _private(before: tuple[int, ...], after: tuple[int, ...]) -> list[bytes]:
    if before == after:
        return []
    back = [_private_mode(mode, on=mode in MODES_ON) for mode in before if mode not in after]
    # All of them again, because the order among mouse modes counts.
    return back + [_private_mode(mode, on=mode in MODES_OFF) for mode in after]


def _private_mode(mode: int, *, on: bool) -> bytes:
    return b"\x1b[?%d%s" % (mode, b"h" if on else b"l")


def _rendition(before: Rendition, after: Rendition) -> list[bytes]:
    parts: list[bytes] = []
    if before.charsets != after.charsets:
        parts += [
            b"\x1b%c%c" % (slot, charset) for slot, charset in zip(b"()*+", after.charsets, strict=True)
        ]
    if before.shift != after.shift:
        parts.append(b"\x0e" if after.shift else b"\x0f")
    if before.origin != after.origin:
        parts.append(_private_mode(ORIGIN, on=after.origin))
    if before.sgr != after.sgr:
        parts.append(b"\x1b[0m")
        parts += [b"\x1b[%sm" % params for params in after.sgr]
    return parts
