"""A `claudectld` for tests of starting one: `install` puts it where `python -m claudectld` finds it first.

What it does on `run --ready-fd N` is chosen by CLAUDECTL_STAND_IN:
    serve     serves Status and one Attach until Shutdown;
    refuse    says a sentence instead of ready;
    die       ends without a word;
    late      says that another one is running, and leaves a child behind that serves only then.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path

from claudectl_protocol.calls import AnyCall, Attach, Attached, Done, Shutdown, Status
from claudectl_protocol.endpoint import make_directory
from claudectl_protocol.sessions import DaemonStatus, SessionId, Size
from tests.fakes.daemon import Answer, FakeDaemon, Last

STARTS = "starts.jsonl"
"""In the home directory: one line for each start, with what was inherited."""
PICTURE = b"from the stand-in"
"""What is sent to whoever attaches."""


def install(directory: Path) -> str:
    """Make the package below `directory`; returns the path entry that finds it."""
    package = directory / "path" / "claudectld"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("from tests.claudectl.stand_in import main\n\nmain()\n")
    return str(package.parent)


def main() -> None:
    """The stand-in's command line."""
    assert sys.argv[1:3] == ["run", "--ready-fd"], sys.argv
    ready = int(sys.argv[3])
    umask = os.umask(0o077)
    start = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "parent": os.getppid(),
        "cwd": os.getcwd(),
        "umask": umask,
        "stdin": os.readlink("/proc/self/fd/0"),
        "stdout": os.readlink("/proc/self/fd/1"),
        "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if _is_open(int(fd))),
        "environment": dict(os.environ),
    }
    with open(os.path.join(os.environ["HOME"], STARTS), "a") as starts:
        starts.write(json.dumps(start) + "\n")
    print("stand-in runs", flush=True)
    match os.environ["CLAUDECTL_STAND_IN"]:
        case "serve":
            _serve(ready)
        case "refuse":
            os.write(ready, b"the state directory \x1b[1mbelongs to nobody\n")
        case "late":
            os.write(ready, b"claudectld is already running\n")
            os.close(ready)
            if os.fork() == 0:
                _serve(os.open(os.devnull, os.O_WRONLY))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _serve(ready: int) -> None:
    path = os.environ["CLAUDECTL_SOCKET"]
    make_directory(os.path.dirname(path))
    leave: queue.Queue[None] = queue.Queue()
    status = DaemonStatus(
        version="0",
        pid=os.getpid(),
        started_at=0.0,
        socket=path,
        state_directory="",
        keeper="ok",
        keeper_pid=None,
        sessions=0,
        active=0,
        projects=0,
    )

    def attach(call: AnyCall) -> Answer:
        assert isinstance(call, Attach)
        session = SessionId(call.target.text)
        assert call.run is not None
        assert call.offset is not None
        return Attached(
            session=session,
            name="api",
            run=call.run,
            offset=call.offset,
            size=Size(cols=80, rows=24),
            resumed=True,
        )

    with FakeDaemon(
        path, {Status: status, Shutdown: Last(Done(), lambda: leave.put(None)), Attach: attach}
    ) as fake:
        threading.Thread(target=lambda: fake.streams.get().data(1000, PICTURE), daemon=True).start()
        os.write(ready, b"ready\n")
        os.close(ready)
        leave.get(timeout=60)
