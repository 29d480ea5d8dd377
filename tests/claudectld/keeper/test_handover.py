"""The state file between two lives of the keeper: what is read is what was written, or one sentence."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from claudectld.keeper import handover
from claudectld.keeper.connection import ConnectionState
from claudectld.keeper.endpoint import EndpointState
from claudectld.keeper.handover import KeeperState, Unreadable
from claudectld.keeper.processes import Identity
from claudectld.keeper.record import Exit, RecordState
from claudectld.keeper.run import RunState

RUN = "00000000-0000-4000-8000-000000000001"
SESSION = "00000000-0000-4000-8000-000000000002"

LIVE = RunState(
    name=RUN,
    session=SESSION,
    process=Identity("boot", 5, 7),
    record=RecordState(
        segment_bytes=10,
        limit_bytes=20,
        size_bytes=15,
        problem="No space left on device",
        segment=9,
        segments=((0, 10), (10, 5)),
        unsaid="size 3 80 24 0 0\n",
    ),
    master=6,
    pidfd=7,
    adopted=True,
    exit=None,
    acknowledged=False,
    interrupted=False,
    watched=15,
    is_dead=True,
    status=9,
    drained_bytes=4,
    is_hung_up=True,
    typed=("a", "b\udcff"),
)
ENDED = LIVE._replace(
    record=LIVE.record._replace(segment=None, segments=()),
    master=None,
    pidfd=None,
    adopted=False,
    exit=Exit(code=None, signal=9, at=1.5, reason="signalled", size_bytes=15),
    acknowledged=True,
    interrupted=True,
    watched=None,
    status=None,
    typed=(),
)
STATE = KeeperState(
    protocol=1,
    nofile=(1024, -1),
    lock=3,
    endpoint=EndpointState(4, (66, 12345678901)),
    epoch=11,
    runs=(LIVE, ENDED),
    connections=(ConnectionState(12, 99, b"\0\xffhalf", b"unread \xfe"), ConnectionState(13, 100, b"", b"")),
    controller=12,
    asker=(12, -4),
)


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        STATE._replace(endpoint=EndpointState(4, None), controller=None, asker=None, runs=(), connections=()),
    ],
)
def test_what_is_read_is_what_was_written(tmp_path: Path, state: KeeperState) -> None:
    fd = handover.write(state, str(tmp_path))
    assert not os.get_inheritable(fd)
    assert handover.read(fd) == state
    # A second reader finds all of it, too: the trial reads before the new code does.
    assert handover.read(fd) == state
    os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_memory_file_a_nameless_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    fd = handover.write(STATE, str(tmp_path))
    assert handover.read(fd) == STATE
    os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_every_descriptor_is_named() -> None:
    assert sorted(STATE.fds) == [3, 4, 6, 7, 9, 12, 13]


def without(name: str) -> Callable[[dict[str, object]], object]:
    return lambda value: {key: each for key, each in value.items() if key != name}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: {**value, "schema": 2}, "the state has schema 2, this code reads 1"),
        (lambda value: {**value, "schema": "1"}, "the state makes no sense: schema is no number"),
        (lambda value: {**value, "runs": [{}]}, "the state makes no sense: process is no dict"),
        (lambda value: {**value, "runs": [1]}, "the state makes no sense: runs is no dict"),
        (lambda value: {**value, "nofile": [1]}, "the state makes no sense: nofile is no pair"),
        (
            lambda value: {**value, "connections": [{"fd": 1, "pid": 1, "received": "!"}]},
            "received is no base64",
        ),
        (lambda value: [value], "the state is no JSON object"),
        *((without(name), "the state makes no sense") for name in ("protocol", "lock", "endpoint", "epoch")),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    tmp_path: Path, change: Callable[[dict[str, object]], object], why: str
) -> None:
    fd = handover.write(STATE, str(tmp_path))
    value = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    os.close(fd)
    path = tmp_path / "state"
    path.write_text(json.dumps(change(value)))
    with path.open("rb") as file, pytest.raises(Unreadable, match=why):
        handover.read(file.fileno())


def test_half_a_state_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text('{"schema": 1, ')
    with path.open("rb") as file, pytest.raises(Unreadable, match="the state is no JSON"):
        handover.read(file.fileno())
