"""What people may set in claudectld.toml: the sections, the keys, their types and defaults. Reading and writing the
file is elsewhere.
"""

from enum import Enum, StrEnum
from typing import Annotated, NamedTuple

import msgspec

from claudectl_protocol.sessions import Value

FILE = "claudectld.toml"
"""The file's name in the directory of endpoint.config_directory."""


class ClaudeSection(Value, forbid_unknown_fields=True):
    """`[claude]`: where the program is, if it is not to be looked for."""

    program: str = ""


class RecordsSection(Value, forbid_unknown_fields=True):
    """`[records]`: how much of each run's output is kept."""

    limit_mib: Annotated[int, msgspec.Meta(ge=1)] = 64


class OnStop(StrEnum):
    """What becomes of sessions when the daemon is told by a signal to leave."""

    KEEP = "keep"
    STOP = "stop"


class ScreenKind(StrEnum):
    """How the daemon knows what a terminal shows."""

    GHOSTTY = "ghostty"
    """By an emulator; where that cannot be loaded, as RAW."""
    RAW = "raw"
    """By playing the last output again: no look at a screen without attaching, no windows of different sizes."""


class DaemonSection(Value, forbid_unknown_fields=True):
    """`[daemon]`: its rhythm, and its end."""

    sync_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    on_stop: OnStop = OnStop.KEEP
    screen: ScreenKind = ScreenKind.GHOSTTY


class Config(Value, forbid_unknown_fields=True):
    """claudectld.toml, with defaults for all that it leaves out."""

    claude: ClaudeSection = ClaudeSection()
    records: RecordsSection = RecordsSection()
    daemon: DaemonSection = DaemonSection()


Setting = str | int | float | bool
"""A value as TOML and JSON have it."""


class Key(NamedTuple):
    """One thing that can be set."""

    section: str
    name: str
    type: object
    """What msgspec converts a value to."""
    default: Setting

    @property
    def dotted(self) -> str:
        """As people write it: `section.name`."""
        return f"{self.section}.{self.name}"

    def convert(self, value: object, *, from_text: bool = False) -> Setting:
        """The value, if it is one of this key; `from_text` takes what a person typed.

        Raises:
            msgspec.ValidationError: it is not; the message is a sentence.
        """
        return _plain(msgspec.convert(value, self.type, strict=not from_text))

    def value(self, config: Config) -> Setting:
        """What `config` says."""
        return _plain(getattr(getattr(config, self.section), self.name))


def keys() -> tuple[Key, ...]:
    """Everything that can be set, in the order of the sections."""
    return tuple(
        Key(section.name, field.name, field.type, _plain(field.default))
        for section in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(section.type)
    )


def _plain(value: object) -> Setting:
    if isinstance(value, Enum):
        value = value.value
    assert isinstance(value, Setting)
    return value
