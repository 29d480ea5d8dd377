"""What can be set, with its types and defaults."""

import msgspec
import pytest

from claudectl_protocol.settings import Config, Key, keys

KEYS = {key.dotted: key for key in keys()}


def test_every_field_of_every_section_is_a_key_with_its_default() -> None:
    config = Config()
    fields = {
        f"{section}.{name}": getattr(getattr(config, section), name)
        for section in config.__struct_fields__
        for name in getattr(config, section).__struct_fields__
    }
    assert {dotted: key.default for dotted, key in KEYS.items()} == fields
    assert {"claude.program", "records.limit_mib", "daemon.sync_s"} <= {*KEYS}


def test_defaults_are_what_an_empty_config_says() -> None:
    assert [key.value(Config()) for key in KEYS.values()] == [key.default for key in KEYS.values()]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("records.limit_mib", "8", 8),
        ("daemon.sync_s", "2", 2.0),
        ("daemon.sync_s", "0.5", 0.5),
        ("claude.program", "/opt/claude", "/opt/claude"),
        ("claude.program", "12", "12"),
    ],
)
def test_typed_text_becomes_the_settings_type(key: str, text: str, value: object) -> None:
    converted = KEYS[key].convert(text, from_text=True)

    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("records.limit_mib", "0"),
        ("records.limit_mib", "1.5"),
        ("records.limit_mib", ""),
        ("daemon.sync_s", "-1"),
    ],
)
def test_text_that_is_no_such_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        KEYS[key].convert(text, from_text=True)


def test_a_file_is_taken_by_its_types_alone() -> None:
    key: Key = KEYS["records.limit_mib"]
    assert key.convert(8) == 8
    with pytest.raises(msgspec.ValidationError):
        key.convert("8")
