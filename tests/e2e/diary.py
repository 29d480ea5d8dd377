"""Children that keep a diary: who started, who was not alone, what was typed. The file proves how many there were."""

import sys
import time
from pathlib import Path

from tests.e2e.world import DEADLINE_S, World
from tests.support.files import wait_for_file

LEFT = 7
"""What a diarist exits with when it gets SIGUSR1."""

_DIARIST = """#!{python} -u
import fcntl, os, signal, sys
PATH, STUBBORN, LEFT = {path!r}, {stubborn!r}, {left!r}
# Notes its pid, notes whether another one lives, then every line that is typed. A stubborn one outlives its
# terminal and does not listen to SIGTERM.
diary = os.open(PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def note(*words):
    os.write(diary, (" ".join(map(str, words)) + "\\n").encode())
def leave(*_):
    os._exit(LEFT)
signal.signal(signal.SIGUSR1, leave)
if STUBBORN:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
alone = os.open(PATH + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("crowded", os.getpid())
note("start", os.getpid())
try:
    print("ready", flush=True)
    for line in sys.stdin:
        note("typed", line.strip())
        print("took", line.strip(), flush=True)
except OSError:
    pass
while STUBBORN:
    signal.pause()
"""


class Diary:
    """A diarist's program and what its lives have written."""

    def __init__(self, world: World, *, stubborn: bool = False, name: str = "job") -> None:
        self.program = world.home / "bin" / name
        self.program.parent.mkdir(exist_ok=True)
        self._directory = world.home / "diaries" / name
        self._directory.mkdir(parents=True)
        self._path = self._directory / "diary"
        text = _DIARIST.format(python=sys.executable, path=str(self._path), stubborn=stubborn, left=LEFT)
        self.program.write_text(text)
        self.program.chmod(0o755)

    def notes(self, word: str) -> list[str]:
        """What was noted under `word`, in order."""
        text = self._path.read_text() if self._path.exists() else ""
        lines = (line.partition(" ") for line in text.splitlines())
        return [rest for first, _, rest in lines if first == word]

    @property
    def starts(self) -> list[int]:
        """The pid of every life there ever was."""
        return [int(pid) for pid in self.notes("start")]

    def wait_for(self, word: str, count: int = 1) -> list[str]:
        """Wait until `word` was noted `count` times. Raises TimeoutError."""

        def look() -> list[str] | None:
            found = self.notes(word)
            return found if len(found) >= count else None

        return wait_for_file(self._directory, look)


def is_alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def start_ticks(pid: int) -> int:
    """When the process began, so that a later one with its pid is not mistaken for it."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def wait_for_adoptions(world: World, session: dict[str, object], count: int) -> None:
    """Wait until keepers have taken the session's run over `count` times: each says so in the run's size log."""
    record = world.state / "records" / str(session["id"]) / str(session["run"])

    def look() -> bool | None:
        lines = (record / "sizes").read_text().splitlines()
        return sum(line.startswith("possible_gap ") for line in lines) >= count or None

    wait_for_file(record, look)


def wait_for_keeper(world: World) -> None:
    """Ask the daemon until it has taken up with the keeper that now serves. Raises TimeoutError."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        daemon = world.ctl("status", "--json").json()["daemon"]
        assert isinstance(daemon, dict)
        if (daemon["keeper"], daemon["keeper_pid"]) == ("ok", world.keeper_pid()):
            return
    raise TimeoutError("the daemon has found no keeper")
