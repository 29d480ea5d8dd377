"""What released versions have left can be read for ever: every frame, every file, and a daemon lives on with them."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from claudectl_protocol import codec
from claudectl_protocol.calls import AnyCall
from claudectl_protocol.framing import CONTROL, FrameReader, frame, preamble
from claudectl_protocol.messages import Hello, Refusal, Reply, Request, Welcome
from claudectl_protocol.sessions import Lifecycle, Wanted
from claudectl_protocol.stream import End
from claudectld.core.session import LaunchContext, Session
from claudectld.record.reader import RecordFiles
from claudectld.stores.migration import Heritage
from claudectld.stores.private import FilePrivateStore
from claudectld.stores.sessions import FileSessionStore
from claudectld.stores.stamp import Owner
from tests.e2e.world import DEADLINE_S, World
from tests.golden import versions
from tests.golden.freeze import install_claude
from tests.golden.versions import GOLDEN, HOME, frozen, original
from tests.protocol.vectors import Vector, load

VERSIONS = frozen()
VECTORS = [path for version in VERSIONS for path in sorted((GOLDEN / "vectors" / version).rglob("*.json"))]
NOW = 1795348800.0
REPLIES = [codec.reply_type(call) for call in get_args(AnyCall)]
CONFIG = Path(".config", "claudectl")
STATE = Path(".local", "state", "claudectl")


def test_there_are_frozen_versions() -> None:
    assert VERSIONS
    assert VECTORS


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_frozen_is_never_changed(version: str) -> None:
    # A difference here is a promise broken to everybody who has such files: mend the code, not this list.
    assert versions.sums(version) == versions.sums_path(version).read_text()


# -- frames ------------------------------------------------------------------------------------------------------


def frames(vector: Vector) -> list[tuple[int, bytes]]:
    """The frames of a vector, or nothing for one that is only a preamble."""
    reader = FrameReader()
    return reader.feed(vector.bytes if vector.sender == "both" else preamble() + vector.bytes)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_frame_of_a_released_version_is_understood_and_would_be_said_again(path: Path) -> None:
    vector = load(path)
    for kind, body in frames(vector):
        if kind != CONTROL:
            assert frame(kind, body) == vector.bytes
        elif vector.sender == "client":
            assert meaning(from_client(body)) == meaning(body)
        else:
            assert meaning(from_daemon(path, body)) == meaning(body)


def meaning(body: bytes) -> object:
    """A map without its encoding: where a struct has grown, another form of the same map may be written."""
    value: object = msgspec.msgpack.decode(body)
    return value


def from_client(body: bytes) -> bytes:
    """What a client said, understood and said again."""
    message = codec.decode_for_daemon(body)
    match message:
        case Hello():
            return codec.encode_message(message)
        case Request(id=call_id, call=call):
            return codec.encode_call(call_id, codec.decode_call(call))


def from_daemon(path: Path, body: bytes) -> bytes:
    """What a daemon said, understood and said again; a reply's file is named for its type."""
    message = codec.decode_for_client(body)
    match message:
        case Welcome() | End():
            return codec.encode_message(message)
        case Refusal(id=call_id, fault=fault):
            return codec.encode_refusal(call_id, codec.decode_fault(fault))
        case Reply(id=call_id, value=value):
            reply = next(reply for reply in REPLIES if reply.__name__ == path.stem)
            return codec.encode_reply(call_id, msgspec.msgpack.decode(value, type=reply))


# -- directories -------------------------------------------------------------------------------------------------


def thawed(version: str, home: Path) -> None:
    """Put a version's directories below a home, as they were."""
    source = GOLDEN / "stores" / version
    for path in sorted(source.rglob("*")):
        target = home.joinpath(*map(original, path.relative_to(source).parts))
        if path.is_dir():
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            shutil.copyfile(path, target)
            target.chmod(0o600)


def moved(home: Path) -> None:
    """Make a thawed home one that was always here: paths, and whose projects they are."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and HOME.encode() in path.read_bytes():
            path.write_bytes(path.read_bytes().replace(HOME.encode(), bytes(home)))
        if path.is_file() and b'"checksum"' in path.read_bytes():
            document = json.loads(path.read_bytes())
            if "stamp" in document:
                inside = path.parent.stat()
                here = {"uid": os.geteuid(), "device": inside.st_dev, "inode": inside.st_ino, "machine": ""}
                document["stamp"].update(here)
            path.write_text(json.dumps({**document, "checksum": checksum(document)}))


def checksum(document: dict[str, object]) -> str:
    """The checksum as 0.1.0 defined it: of the compact JSON with sorted keys, without the checksum itself."""
    body = {name: value for name, value in document.items() if name != "checksum"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def store(home: Path, owner: Owner) -> FileSessionStore:
    """The present store over a home."""
    state = home / STATE
    heritage = Heritage(
        home=str(home), env={}, private=FilePrivateStore(str(state)), project_of=lambda path: path
    )
    return FileSessionStore(str(home / CONFIG), owner, lambda: NOW, heritage)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path.resolve() / "home"


@pytest.mark.parametrize("version", VERSIONS)
def test_checksums_are_computed_as_they_were(version: str, home: Path) -> None:
    thawed(version, home)

    sealed = [path for path in home.rglob("*") if path.is_file() and b'"checksum"' in path.read_bytes()]
    assert len(sealed) > 10
    for path in sealed:
        document = json.loads(path.read_bytes())
        assert document["checksum"] == checksum(document)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_session_is_read_without_a_complaint(version: str, home: Path) -> None:
    thawed(version, home)
    moved(home)
    stamp = json.loads((home / "project" / ".claudectl" / "project.json").read_bytes())["stamp"]
    owner = Owner(machine="", uid=os.geteuid(), state=(home / STATE / "id").read_text().strip())
    assert stamp["state"] == owner.state
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    stored = store(home, owner).load()

    assert stored.notices == ()
    assert [(project.path, project.writable) for project in stored.projects] == [
        (f"{home}/other", True),
        (f"{home}/project", True),
    ]
    found = {one.name: one for project in stored.projects for one in project.sessions}
    found |= {one.name: one for one in stored.global_sessions}
    assert {name: (one.lifecycle, one.wanted) for name, one in found.items()} == {
        "conversation": (Lifecycle.ACTIVE, Wanted.RUNNING),
        "left": (Lifecycle.STOPPED, Wanted.STOPPED),
        "running": (Lifecycle.ACTIVE, Wanted.RUNNING),
        "stopped": (Lifecycle.STOPPED, Wanted.STOPPED),
        "nobody's": (Lifecycle.ACTIVE, Wanted.RUNNING),
    }
    check_conversation(found["conversation"], home)
    assert found["left"].exit is not None
    assert (found["left"].exit.code, found["stopped"].exit and found["stopped"].exit.by) == (3, "claudectl")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def check_conversation(session: Session, home: Path) -> None:
    """All that is needed to start it again is there."""
    assert (session.program, session.args, session.prompt) == (
        "claude",
        ("--model", "opus"),
        "the first prompt",
    )
    assert session.conversation is not None
    assert session.project == session.cwd == f"{home}/project"
    context = FilePrivateStore(str(home / STATE)).load_context(session.id)
    assert isinstance(context, LaunchContext)
    assert context.env["HOME"] == str(home)
    records = RecordFiles(home / STATE / "records")
    assert session.run is not None
    assert records.read(session.id, session.run.id, 0, 4096) == (0, b"ready\r\n")


def until_active(world: World, name: str) -> None:
    """Ask until a session runs. Raises TimeoutError."""
    deadline = time.monotonic() + DEADLINE_S
    while (shown := world.shown(name))["lifecycle"] != "active":
        if time.monotonic() > deadline:
            raise TimeoutError(f"{shown}\n{world.log()}")


@pytest.fixture
def world() -> Iterator[World]:
    """A world of which the present daemon is to be able to leave nothing running."""
    with World() as made:
        yield made
        made.end()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_daemon_goes_on_with_them(world: World, version: str) -> None:
    shutil.rmtree(world.project)
    thawed(version, world.home)
    moved(world.home)
    install_claude(world.home)

    world.start()

    assert world.ctl("ls", "-g", "-a").err == ""
    assert world.shown("left")["lifecycle"] == "stopped"
    assert world.ctl("logs", "left", "--raw").out == "bye\r\n"
    for name in ("conversation", "running"):
        # Wanted, and gone with the power.
        until_active(world, name)
    world.ctl("rename", "left", "gone")
    world.ctl("rm", "gone")
    world.new("-n", "more", "--command", "--", "/bin/cat")
