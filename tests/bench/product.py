"""claudectl as it is measured: a world of its own with a daemon, a keeper, and one open connection."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from claudectl.client import Client
from claudectl.inheritance import inherited_groups, inherited_rlimits, inherited_umask
from claudectl_protocol.calls import List, New
from claudectl_protocol.faults import Rejected
from claudectl_protocol.sessions import Lifecycle, SessionId, SessionInfo
from tests.bench import machine
from tests.bench.pty import SIZE
from tests.bench.results import WrongResult
from tests.e2e.world import World

_SCRIPT = (
    "import sys\nfrom claudectl.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
)
"""As an installer writes it."""


class Product:
    """Use as a context manager; leaving it ends every process of it."""

    def __init__(self) -> None:
        self.world = World()
        # What is measured is checked against the whole record.
        self.world.configure("[records]\nlimit_mib = 4096\n")
        self._script = self.world.home / "claudectl"
        self._script.write_text(_SCRIPT)
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            self.start()
            self.client = Client.connect(self.world.socket)
            self._left = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._left.close()

    def _end(self) -> None:
        self.world.__exit__(None, None, None)
        if self._daemon is not None:
            self._daemon.wait()

    @property
    def home(self) -> Path:
        """A directory for what a bench needs."""
        return self.world.home

    def argv(self, *args: str) -> list[str]:
        """`claudectl` as it is installed."""
        return [sys.executable, str(self._script), *args]

    def start(self) -> None:
        """Run a daemon and return when it serves. Raises WrongResult."""
        ready, told = os.pipe()
        try:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "claudectld", "run", "--ready-fd", str(told)],
                env=self.world.env,
                cwd="/",
                pass_fds=(told,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            sentence = pipe.readline().strip()
        if sentence != b"ready":
            raise WrongResult(f"the daemon said {sentence!r}")

    def kill_daemon(self) -> None:
        """SIGKILL the daemon; the connection goes with it."""
        assert self._daemon is not None
        self.client.close()
        self._daemon.kill()
        self._daemon.wait()

    def reconnect(self) -> None:
        """Open the connection to a new daemon."""
        self.client = Client.connect(self.world.socket)

    def create(self, name: str, argv: Sequence[str]) -> SessionInfo:
        """A new session, on the open connection."""
        return self.client.call(self._new(name, argv))

    def fill(self, argvs: Sequence[Sequence[str]]) -> list[SessionInfo]:
        """Start many sessions at once and return them in order. Raises WrongResult."""
        have = len(self.sessions())
        made = self.client.call_each(
            [self._new(f"s{have + number}", argv) for number, argv in enumerate(argvs)]
        )
        sessions = [one for one in made if not isinstance(one, Rejected)]
        if len(sessions) < len(argvs):
            refusals = [one.fault for one in made if isinstance(one, Rejected)]
            raise WrongResult(f"{len(refusals)} sessions could not be started: {refusals[0]}")
        self.active(have + len(argvs))
        return sessions

    def _new(self, name: str, argv: Sequence[str]) -> New:
        program, *args = argv
        return New(
            key=SessionId(str(uuid.uuid4())),
            cwd=str(self.world.project),
            name=name,
            program=program,
            args=tuple(args),
            size=SIZE,
            env=dict(self.world.env),
            umask=inherited_umask(),
            rlimits=inherited_rlimits(),
            groups=inherited_groups(),
        )

    def sessions(self) -> tuple[SessionInfo, ...]:
        """What `ls` would list."""
        return self.client.call(List(cwd=str(self.world.project))).sessions

    def active(self, count: int) -> tuple[SessionInfo, ...]:
        """All sessions. Raises WrongResult unless there are `count` and all are active."""
        sessions = self.sessions()
        states = [session.lifecycle for session in sessions]
        if states != [Lifecycle.ACTIVE] * count:
            raise WrongResult(f"{states.count(Lifecycle.ACTIVE)} of {len(states)} active, not {count}")
        return sessions

    def record(self, session: SessionInfo) -> bytes:
        """All that a session has printed."""
        return self.world.record({"id": session.id, "run": session.run})

    @contextmanager
    def pids(self) -> Iterator[tuple[int, int]]:
        """The keeper and the daemon, in a block in which neither may be replaced."""
        assert self._daemon is not None
        before = self.world.keeper_pid(), self._daemon.pid
        yield before
        if self.world.keeper_pid() != before[0] or self._daemon.poll() is not None:
            raise WrongResult("the keeper or the daemon ended meanwhile")

    def pss_bytes(self) -> int:
        """Memory of keeper and daemon."""
        with self.pids() as pids:
            return sum(machine.pss_bytes(pid) for pid in pids)
