import json
import os
import stat
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol.faults import InvalidArgument, Rejected, StoreFailed
from claudectl_protocol.sessions import SessionId
from claudectld.claude import settings
from claudectld.claude.settings import Json

SESSION = SessionId("6b8b4567-0000-4000-8000-000000000001")

_SCALARS: st.SearchStrategy[Json] = st.none() | st.integers() | st.sampled_from(["", "x"])
_INNER: st.SearchStrategy[Json] = _SCALARS | st.lists(_SCALARS, max_size=2)
_OBJECTS = st.dictionaries(
    st.sampled_from("abc"), _INNER | st.dictionaries(st.sampled_from("abc"), _INNER, max_size=2), max_size=3
)
# A busy machine is no defect of the code.
patiently = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def test_without_any_settings_no_file_is_written(tmp_path: Path) -> None:
    assert settings.write(tmp_path, SESSION, None, "/") is None
    assert list(tmp_path.iterdir()) == []


def test_json_text_is_written_to_a_private_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = settings.write(tmp_path, SESSION, ' {"model": "opus"} ', "/")
    finally:
        os.umask(old)
    assert path == tmp_path / "settings" / f"{SESSION}.json"
    assert json.loads(path.read_text()) == {"model": "opus"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_settings_file_stays_where_it_is_as_its_rules_count_from_there(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"a": 1}')
    old = settings.write(tmp_path / "state", SESSION, '{"old": 1}', str(tmp_path))
    assert old is not None
    path = settings.write(tmp_path / "state", SESSION, "mine.json", str(tmp_path))
    assert path == tmp_path / "mine.json"
    assert not old.exists()


def test_a_settings_file_is_merged_with_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    path = settings.write(tmp_path / "state", SESSION, "mine.json", str(tmp_path), {"b": 2})
    assert path == tmp_path / "state" / "settings" / f"{SESSION}.json"
    assert json.loads(path.read_text()) == {"a": 1, "b": 2}


def test_settings_that_are_no_longer_given_leave_no_file_behind(tmp_path: Path) -> None:
    path = settings.write(tmp_path, SESSION, '{"a": 1}', "/")
    assert path is not None
    assert settings.write(tmp_path, SESSION, None, "/") is None
    assert not path.exists()


def test_theirs_and_ours_are_both_in_force(tmp_path: Path) -> None:
    theirs = '{"model": "opus", "hooks": {"Stop": [1], "SessionStart": [2]}}'
    ours: dict[str, Json] = {"hooks": {"SessionStart": [3], "PermissionRequest": [4]}}
    path = settings.write(tmp_path, SESSION, theirs, "/", ours)
    assert path is not None
    assert json.loads(path.read_text()) == {
        "model": "opus",
        "hooks": {"Stop": [1], "SessionStart": [2, 3], "PermissionRequest": [4]},
    }


@pytest.mark.parametrize("given_settings", ["{", "[1]", "{'a': 1}", '{"a": 1} x', "", "missing.json", "sub"])
def test_bad_settings_are_refused_and_the_old_file_stays(tmp_path: Path, given_settings: str) -> None:
    (tmp_path / "sub").mkdir()
    path = settings.write(tmp_path, SESSION, '{"a": 1}', str(tmp_path))
    assert path is not None
    (tmp_path / "list.json").write_text("[1]")
    for bad in (given_settings, "list.json"):
        with pytest.raises(Rejected) as refusal:
            settings.write(tmp_path, SESSION, bad, str(tmp_path))
        assert isinstance(refusal.value.fault, InvalidArgument)
        assert refusal.value.fault.what == "--settings"
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_state_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("in the way")
    with pytest.raises(Rejected) as refusal:
        settings.write(tmp_path, SESSION, "{}", "/")
    assert isinstance(refusal.value.fault, StoreFailed)


@patiently
@given(_OBJECTS, _OBJECTS)
def test_merging_loses_no_key_and_ours_decides(theirs: dict[str, Json], ours: dict[str, Json]) -> None:
    merged = settings.merge(theirs, ours)
    assert merged.keys() == theirs.keys() | ours.keys()
    for key, value in ours.items():
        if not isinstance(value, list | dict):
            assert merged[key] == value


@patiently
@given(_OBJECTS)
def test_merging_nothing_changes_nothing(value: dict[str, Json]) -> None:
    assert settings.merge(value, {}) == value == settings.merge({}, value)
