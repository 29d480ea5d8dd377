"""The private store: secrets stay private, and what is damaged is as good as missing."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from claudectl_protocol.faults import Rejected, StoreFailed
from claudectl_protocol.sessions import RunId, SessionId
from claudectld.core.session import LaunchContext
from claudectld.stores.private import FilePrivateStore
from tests.claudectld.stores.places import document

SESSION = SessionId("5e55104e-0000-4000-8000-000000000001")
RUN = RunId("00000000-0000-4000-8000-00000000000a")
CONTEXT = LaunchContext(env={"TOKEN": "secret"}, rlimits={7: (1, -1)})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "claudectl"


@pytest.fixture
def private(state: Path) -> FilePrivateStore:
    return FilePrivateStore(str(state))


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_nobody_else_can_read_anything(private: FilePrivateStore, state: Path, umask: int) -> None:
    os.umask(umask)

    private.save_context(SESSION, CONTEXT)
    private.save_checkpoint(RUN, 3, b"screen")

    modes = {
        str(path.relative_to(state)): stat.S_IMODE(path.stat().st_mode) for path in (state, *state.rglob("*"))
    }
    assert modes == {
        ".": 0o700,
        "env": 0o700,
        f"env/{SESSION}": 0o600,
        "checkpoints": 0o700,
        f"checkpoints/{RUN}": 0o600,
    }


def test_a_context_is_json_with_a_schema(private: FilePrivateStore, state: Path) -> None:
    private.save_context(SESSION, CONTEXT)

    found = document(state / "env" / SESSION)

    assert found["schema"] == 1
    assert found["env"] == {"TOKEN": "secret"}
    assert found["rlimits"] == {"7": [1, -1]}


def test_no_second_copy_of_a_secret_is_kept(private: FilePrivateStore, state: Path) -> None:
    private.save_context(SESSION, CONTEXT)
    private.save_context(SESSION, LaunchContext(env={"TOKEN": "other"}))

    assert os.listdir(state / "env") == [SESSION]


def test_an_environment_that_is_not_utf_8_comes_back(private: FilePrivateStore) -> None:
    odd = LaunchContext(env={"NAME\udcff": "caf\udce9"})

    private.save_context(SESSION, odd)

    assert private.load_context(SESSION) == odd


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"schema": 1}',
        b'{"schema": 1, "env": {"A": 1}}',
        b'{"schema": 2, "env": {}}',
        b'{"schema": 1, "env": {}, "umask": "x"}',
    ],
)
def test_a_context_that_cannot_be_read_is_missing(
    private: FilePrivateStore, state: Path, content: bytes
) -> None:
    private.save_context(SESSION, CONTEXT)
    (state / "env" / SESSION).write_bytes(content)

    assert private.load_context(SESSION) is None


def test_no_damaged_checkpoint_is_believed(private: FilePrivateStore, state: Path) -> None:
    private.save_checkpoint(RUN, 77, b"screen")
    file = state / "checkpoints" / RUN
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at])
        assert private.load_checkpoint(RUN) is None
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert private.load_checkpoint(RUN) is None
    file.write_bytes(whole + b"x")
    assert private.load_checkpoint(RUN) is None
    file.write_bytes(whole)

    assert private.load_checkpoint(RUN) == (77, b"screen")


def test_removing_takes_context_settings_checkpoints_and_leftovers(
    private: FilePrivateStore, state: Path
) -> None:
    private.save_context(SESSION, CONTEXT)
    private.save_checkpoint(RUN, 1, b"x")
    (state / "settings").mkdir(mode=0o700)
    (state / "settings" / f"{SESSION}.json").write_text("{}")
    (state / "settings" / "other.json").write_text("{}")
    (state / "env" / f".{SESSION}.0123456789abcdef.tmp").write_text("secret")

    private.remove(SESSION, [RUN])

    left = sorted(str(path.relative_to(state)) for path in state.rglob("*") if path.is_file())
    assert left == ["settings/other.json"]


def test_removing_from_nothing_makes_nothing(private: FilePrivateStore, state: Path) -> None:
    private.remove(SESSION, [RUN])

    assert not state.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", ".hidden"])
def test_an_id_that_is_a_path_is_an_error_of_the_caller(
    private: FilePrivateStore, state: Path, name: str
) -> None:
    acts: tuple[Callable[[], object], ...] = (
        lambda: private.save_context(SessionId(name), CONTEXT),
        lambda: private.load_context(SessionId(name)),
        lambda: private.save_checkpoint(RunId(name), 0, b""),
        lambda: private.remove(SessionId(name), []),
        lambda: private.remove(SESSION, [RunId(name)]),
    )
    for act in acts:
        with pytest.raises(ValueError, match="not an id"):
            act()
    assert not list(state.parent.rglob("x"))


def test_a_place_that_is_a_link_is_not_used(private: FilePrivateStore, state: Path, tmp_path: Path) -> None:
    state.mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (state / "env").symlink_to(tmp_path / "theirs")

    with pytest.raises(Rejected) as refused:
        private.save_context(SESSION, CONTEXT)

    assert isinstance(refused.value.fault, StoreFailed)
    assert private.load_context(SESSION) is None
    assert os.listdir(tmp_path / "theirs") == []


def test_a_full_disk_keeps_the_context_before(
    private: FilePrivateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.save_context(SESSION, CONTEXT)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Rejected) as refused:
            private.save_context(SESSION, LaunchContext(env={}))

    assert isinstance(refused.value.fault, StoreFailed)
    assert refused.value.fault.error == "ENOSPC"
    assert private.load_context(SESSION) == CONTEXT
