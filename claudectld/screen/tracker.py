"""Follows a run's output and knows its modes at every place where a repaint could begin."""

import re
from enum import Enum
from typing import NamedTuple

import msgspec

from claudectld.screen.candidates import unfinished
from claudectld.screen.modes import FRESH, INSERT, MODES_OFF, MODES_ON, NEWLINE, ORIGIN, Modes, Rendition

_TITLE_LIMIT_BYTES = 1024
_KITTY_LIMIT = 32
_SGR_LIMIT = 64

_EVENT = re.compile(
    rb"""\x1b(?:
        \[ (?:
            [0-9;]{0,56}+ (?=[hlrsu\ ]) (?:
                (?P<ansi>[hl]) | (?P<region>r) | (?P<cursor_shape>\ q) | (?P<ansi_cursor>[su])
            )
          | \?(?!2026[hl])[0-9;]{1,56}+ (?P<private>[hl])
          | (?P<clear> (?:1;1)?H\x1b\[2J(?:\x1b\[3J)? | 2J(?:\x1b\[3J)?\x1b\[(?:1;1)?H )
          | [<>=][0-9;]{0,56}+ (?: (?P<kitty>u) | (?<=>4)(?P<other_keys>[mn]) | (?<=>4;.)(?P<other_keys_set>m) )
          | (?P<soft_reset>!p)
        )
      | (?P<cursor>[78])
      | (?P<charset>[()*+][0-~])
      | (?P<keypad>[=>])
      | (?P<reset>c)
      | \] (?P<title>[02];[^\x07\x18\x1a\x1b]{0,%d}+(?:\x07|\x1b\\))
    )"""
    % _TITLE_LIMIT_BYTES,
    re.VERBOSE,
)
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}|[ -/]{0,4}|\][02]?|\][02];[^\x07\x18\x1a\x1b]{0,%d}\x1b?)\Z"
    % _TITLE_LIMIT_BYTES
)
_SGR = re.compile(rb"\x1b\[([0-9;:]{0,64})m")
# Sequences that set one colour: only the last one of each counts.
_FOREGROUND = re.compile(rb"3[0-79]|9[0-7]|38(?:;5;[0-9]+|;2;[0-9]+;[0-9]+;[0-9]+|:[0-9:]+)")
_BACKGROUND = re.compile(rb"4[0-79]|10[0-7]|48(?:;5;[0-9]+|;2;[0-9]+;[0-9]+;[0-9]+|:[0-9:]+)")
_STRING_INTRODUCERS = b"]PX^_"
_STRING_ENDS = re.compile(rb"[\x18\x1a]")
_OSC_ENDS = re.compile(rb"[\x07\x18\x1a]")


class Turn(Enum):
    """Why a stretch begins where it does."""

    ON = "on"
    """Nothing happened: the stretch goes on from the one before."""
    RESET = "reset"
    """It begins with a full reset; nothing before it can be seen any more."""
    CLEAR = "clear"
    """It begins by clearing all of the screen in use, and homes the cursor."""
    ALTERNATE = "alternate"
    """The output before it switched to an empty alternate screen (1049)."""
    MAIN = "main"
    """The output before it left the alternate screen."""


class Stretch(NamedTuple):
    """Consecutive output. `modes` are those at its start, None when it starts inside a string."""

    turn: Turn
    data: bytes
    modes: Modes | None


class ModeTracker:
    """Bytes in (without queries), stretches out; an unfinished sequence or character is held back."""

    def __init__(self, modes: Modes = FRESH, pending: bytes = b"", string: bytes = b"") -> None:
        """Args: what `modes`, `pending` and `string` of another tracker were."""
        self.modes = modes
        """The modes after everything in the stretches so far."""
        self.pending = pending
        """Fed, but not yet part of a stretch."""
        self.string = string
        """The introducer of the control string that the stretches so far end in, or nothing."""

    def feed(self, data: bytes) -> list[Stretch]:
        """The stretches that `data` completes."""
        buffer = self.pending + data
        end = _whole(buffer, unfinished(_UNFINISHED, buffer))
        self.pending = buffer[end:]
        return self._take(buffer[:end])

    def release(self) -> list[Stretch]:
        """Give up waiting for the end of the sequence that is held back."""
        rest, self.pending = self.pending, b""
        return self._take(rest)

    def resize(self) -> None:
        """The terminal's size changed, which undoes the scroll region."""
        self.modes = msgspec.structs.replace(self.modes, region=b"")

    def _take(self, buffer: bytes) -> list[Stretch]:
        stretches: list[Stretch] = []
        turn, start, modes = Turn.ON, 0, None if self.string else self.modes
        place = 0
        for event in _EVENT.finditer(buffer):
            if _touches_rendition(event):
                self._render(buffer, place, event.start())
                place = event.end()
            was = self.modes
            self.modes = _after(was, event.lastgroup or "", event[0])
            next_turn, next_start = _turn(event, was, self.modes)
            if next_turn is Turn.ON:
                continue
            if next_start > start or turn is not Turn.ON:
                stretches.append(Stretch(turn, buffer[start:next_start], modes))
            turn, start, modes = next_turn, next_start, self.modes
        self._render(buffer, place, len(buffer))
        if start < len(buffer) or turn is not Turn.ON:
            stretches.append(Stretch(turn, buffer[start:], modes))
        self.string = _open_string(buffer, self.string)
        return stretches

    def _render(self, buffer: bytes, start: int, end: int) -> None:
        """Follow SGR and SO/SI, which are far too many to be events of their own."""
        rendition = self.modes.rendition
        sgr = rendition.sgr
        reset = max(buffer.rfind(b"\x1b[0m", start, end), buffer.rfind(b"\x1b[m", start, end))
        if reset >= 0:
            sgr = ()
        found = _SGR.findall(buffer, max(start, reset), end)
        if found:
            sgr = _folded(sgr, found)
        shift_out, shift_in = buffer.rfind(b"\x0e", start, end), buffer.rfind(b"\x0f", start, end)
        shift = rendition.shift if shift_out == shift_in else shift_out > shift_in
        if sgr != rendition.sgr or shift != rendition.shift:
            rendition = msgspec.structs.replace(rendition, sgr=sgr, shift=shift)
            self.modes = msgspec.structs.replace(self.modes, rendition=rendition)


def _touches_rendition(event: re.Match[bytes]) -> bool:
    """True when the rendition has to be known at the event: it uses or changes it, or may begin a stretch."""
    match event.lastgroup:
        case "private":
            # The rest are 25, 2004 and the like, which come with every frame.
            return event[0][3:5] in (b"10", b"47", b"6h", b"6l") or b";" in event[0]
        case "kitty" | "other_keys" | "other_keys_set" | "region" | "cursor_shape" | "keypad" | "ansi":
            return False
        case _:
            return True


def _turn(event: re.Match[bytes], was: Modes, now: Modes) -> tuple[Turn, int]:
    """What an event means for repaints, and where the stretch begins that it starts."""
    if event.lastgroup == "reset":
        return Turn.RESET, event.start()
    # On the main screen a clear without 3J leaves the scrollback, which clients shall have. Of 47 and 1047 the main
    # screen is not remembered apart.
    if event.lastgroup == "clear" and (now.alternate == 1049 or (not now.alternate and b"3J" in event[0])):
        return Turn.CLEAR, event.start()
    if now.alternate == 1049 and not was.alternate:
        return Turn.ALTERNATE, event.end()
    if was.alternate and not now.alternate:
        return Turn.MAIN, event.end()
    return Turn.ON, event.end()


def _after(modes: Modes, kind: str, raw: bytes) -> Modes:
    """The modes after one sequence."""
    params = raw[2:-1]
    match kind:
        case "private":
            for mode in _numbers(params[1:]):
                modes = _private(modes, mode, on=raw.endswith(b"h"))
        case "ansi":
            numbers = [mode for mode in _numbers(params) if mode in (INSERT, NEWLINE)]
            others = tuple(mode for mode in modes.ansi if mode not in numbers)
            modes = _with(modes, ansi=others + tuple(numbers) if raw.endswith(b"h") else others)
        case "kitty":
            stacks = list(modes.kitty)
            screen = 1 if modes.alternate else 0
            stacks[screen] = _keyboard(stacks[screen], params[:1], _numbers(params[1:]))
            modes = _with(modes, kitty=(stacks[0], stacks[1]))
        case "other_keys":
            modes = _with(modes, other_keys=b"")
        case "other_keys_set":
            modes = _with(modes, other_keys=params[3:])
        case "region":
            modes = _with(modes, region=_region(modes.region, params))
        case "cursor_shape":
            modes = _with(modes, cursor_shape=raw[2:-2])
        case "soft_reset":
            modes = _with(
                modes,
                changed=tuple(mode for mode in modes.changed if mode not in (1, 6, 7, 25, 66)),
                ansi=(),
                keypad=False,
                region=b"",
                rendition=Rendition(),
            )
        case "cursor":
            modes = _saved(modes) if raw == b"\x1b7" else _restored(modes)
        case "ansi_cursor" if not params:
            modes = _saved(modes) if raw == b"\x1b[s" else _restored(modes)
        case "charset":
            charsets = bytearray(modes.rendition.charsets)
            charsets[b"()*+".index(raw[1:2])] = raw[2]
            rendition = msgspec.structs.replace(modes.rendition, charsets=bytes(charsets))
            modes = _with(modes, rendition=rendition)
        case "keypad":
            modes = _with(modes, keypad=raw == b"\x1b=")
        case "title":
            modes = _with(modes, title=raw[4:-1] if raw.endswith(b"\x07") else raw[4:-2])
        case "reset":
            modes = Modes(title=modes.title)
    return modes


def _with(modes: Modes, **changes: object) -> Modes:
    return msgspec.structs.replace(modes, **changes)


def _private(modes: Modes, mode: int, *, on: bool) -> Modes:
    """Set or reset one DEC private mode."""
    if mode in (47, 1047, 1049):
        if on:
            modes = _saved(modes) if mode == 1049 else modes
            return _with(modes, alternate=modes.alternate or mode)
        modes = _with(modes, alternate=0)
        return _restored(modes) if mode == 1049 else modes
    if mode == 1048:
        return _saved(modes) if on else _restored(modes)
    if mode == ORIGIN:
        return _with(modes, rendition=msgspec.structs.replace(modes.rendition, origin=on))
    if mode not in MODES_OFF and mode not in MODES_ON:
        return modes
    others = tuple(other for other in modes.changed if other != mode)
    return _with(modes, changed=others if on == (mode in MODES_ON) else (*others, mode))


def _saved(modes: Modes) -> Modes:
    main, alternate = modes.saved
    saved = (main, modes.rendition) if modes.alternate else (modes.rendition, alternate)
    return _with(modes, saved=saved)


def _restored(modes: Modes) -> Modes:
    return _with(modes, rendition=modes.saved[1 if modes.alternate else 0])


def _keyboard(stack: tuple[int, ...], act: bytes, numbers: list[int]) -> tuple[int, ...]:
    """The kitty keyboard flags after a push, pop or set."""
    first = numbers[0] if numbers else None
    if act == b">":
        return (*stack, first or 0)[-_KITTY_LIMIT:]
    if act == b"<":
        count = 1 if first is None else first
        return stack[:-count] or (0,) if count else stack
    how = numbers[1] if len(numbers) > 1 else 1
    flags = first or 0
    top = {1: flags, 2: stack[-1] | flags, 3: stack[-1] & ~flags}.get(how, stack[-1])
    return (*stack[:-1], top)


def _region(before: bytes, params: bytes) -> bytes:
    """The scroll region after DECSTBM; terminals ignore one that is upside down."""
    top, _, bottom = params.partition(b";")
    if b";" in bottom or (bottom.strip(b"0") and int(bottom) <= int(top or b"1")):
        return before
    return params


def _numbers(params: bytes) -> list[int]:
    return [int(field) for field in params.split(b";") if field]


def _folded(older: tuple[bytes, ...], newer: list[bytes]) -> tuple[bytes, ...]:
    """The SGR parameters that still count, oldest first: of each sort the last, and nothing before a reset."""
    kept: dict[bytes, bytes] = {}
    # Equal sequences are common and their last occurrence alone counts, so the loop below stays short.
    for params in dict.fromkeys([*reversed(newer), *reversed(older)]):
        if params.strip(b"0") == b"":
            break
        if _FOREGROUND.fullmatch(params):
            kept.setdefault(b"foreground", params)
        elif _BACKGROUND.fullmatch(params):
            kept.setdefault(b"background", params)
        else:
            kept.setdefault(params, params)
        if params.startswith((b"0;", b";")):
            break
    return tuple(reversed(list(kept.values())[:_SGR_LIMIT]))


def _open_string(buffer: bytes, string: bytes) -> bytes:
    """The introducer of the control string (OSC, DCS, APC, PM, SOS) that is open at the end, or nothing."""
    last = buffer.rfind(b"\x1b")
    if last >= 0:
        string = buffer[last + 1 : last + 2]
        if string not in _STRING_INTRODUCERS:
            return b""
    if not string:
        return b""
    ends = _OSC_ENDS if string == b"]" else _STRING_ENDS
    return b"" if ends.search(buffer, last + 1) else string


def _whole(buffer: bytes, end: int) -> int:
    """`end`, or the place of the UTF-8 character that the buffer breaks off in."""
    if end < len(buffer):
        return end
    for back in range(1, min(3, end) + 1):
        byte = buffer[end - back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end - back if length > back else end
        if byte < 0x80:
            break
    return end
