"""Going on with other code in the same process: tried in a child first, then exec with every descriptor open.

The process stays the parent of its children, holds its lock and listens the whole time.
"""

import os
import signal
from collections.abc import Callable, Sequence

from . import handover
from .crash import crash_point
from .handover import KeeperState
from .loop import Loop
from .requests import Refused, Upgrade

READABLE = "ok"
"""The last line of a trial that went well."""
TRIAL_S = 10
"""A trial that takes longer is ended."""

_MAX_SAID_BYTES = 1 << 16

Stamps = tuple[tuple[int, int, int, int], ...]


class Upgrader:
    """At most one upgrade at a time.

    Args:
        arguments: what every command line of this keeper has.
        directory: where copies of the code lie.
        busy: why the state cannot be handed over now, or empty.
    """

    def __init__(self, arguments: Sequence[str], directory: str, loop: Loop, busy: Callable[[], str]) -> None:
        self._arguments = arguments
        self._directory = directory
        self._loop = loop
        self._busy = busy
        self._trial: _Trial | None = None

    def begin(
        self, request: Upgrade, state: Callable[[], KeeperState], settle: Callable[[Callable[[], None]], None]
    ) -> None:
        """Try the new code; when it can read what `state` returns, go on with it.

        Raises Refused, OSError when it cannot even be tried. `settle` is called later, unless this process has
        become the new code by then, with what raises Refused or OSError.
        """
        if self._trial is not None:
            raise Refused("busy", "another upgrade is going on")
        self._refuse_if_busy()
        stamps = self._stamps(request)

        def tried(said: str) -> None:
            self._trial = None
            settle(lambda: self._go_on(request, stamps, state, said))

        fd = handover.write(state(), self._directory)
        try:
            self._trial = _Trial(self._command(request, fd, "--check"), fd, self._loop, tried)
        finally:
            os.close(fd)

    def _go_on(self, request: Upgrade, stamps: Stamps, state: Callable[[], KeeperState], said: str) -> None:
        last = said.strip().rpartition("\n")[2]
        if last != READABLE:
            raise Refused(
                "trial", last or f"the new code said nothing; it died or took longer than {TRIAL_S} s"
            )
        if self._stamps(request) != stamps:
            raise Refused("unsafe", "the new code or its interpreter has changed since it was tried")
        # What arrives from here on stays pending until the new code hears signals.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._loop.hear_signals()
            self._refuse_if_busy()
            self._become(request, state())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _become(self, request: Upgrade, state: KeeperState) -> None:
        """Only returns by raising OSError; nothing has changed then."""
        fd = handover.write(state, self._directory)
        kept = (fd, *state.fds)
        try:
            for each in kept:
                os.set_inheritable(each, True)  # noqa: FBT003 - its only form
            crash_point("upgrade:before-exec")
            command = self._command(request, fd)
            os.execve(command[0], command, os.environ)
        finally:
            for each in kept:
                os.set_inheritable(each, False)  # noqa: FBT003 - its only form
            os.close(fd)

    def _refuse_if_busy(self) -> None:
        if why := self._busy():
            raise Refused("busy", why)

    def _command(self, request: Upgrade, state: int, *more: str) -> list[str]:
        interpreter = [request.interpreter, "-I", "-S", "-B", request.copy]
        return [*interpreter, *self._arguments, "--resume", str(state), *more]

    def _stamps(self, request: Upgrade) -> Stamps:
        """What tells the files from others that may take their place. Raises Refused when they are not ours alone."""
        try:
            if not os.path.samefile(os.path.dirname(request.copy), self._directory):
                raise Refused("unsafe", f"{request.copy} is not in {self._directory}")
            found = [os.stat(request.interpreter)]
            for path in _tree(request.copy):
                found.append(os.lstat(path))
                if not _is_ours_alone(found[-1]):
                    raise Refused("unsafe", f"{path} is not ours alone")
        except OSError as error:
            raise Refused("unsafe", f"{error.filename}: {error.strerror}") from error
        return tuple((each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


class _Trial:
    """The new code in a child of its own, reading the state and saying whether it can go on from it."""

    def __init__(self, command: list[str], state: int, loop: Loop, done: Callable[[str], None]) -> None:
        """Raises OSError."""
        self._loop = loop
        self._done = done
        self._said = b""
        self._pipe, its = os.pipe()
        try:
            _fork(command, state, its)
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(its)
        os.set_blocking(self._pipe, False)
        loop.on_read(self._pipe, self._hear)

    def _hear(self) -> None:
        data = os.read(self._pipe, _MAX_SAID_BYTES)
        self._said = (self._said + data)[-_MAX_SAID_BYTES:]
        if not data:
            # Its end is reaped like that of any other child.
            self._loop.give_up(self._pipe)
            os.close(self._pipe)
            self._done(self._said.decode("utf-8", "backslashreplace"))


def _fork(command: list[str], state: int, said: int) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        if os.fork() == 0:
            try:
                _try(command, state, said)
            except OSError as error:
                os.write(said, f"{command[0]}: {error.strerror}\n".encode("utf-8", "backslashreplace"))
            finally:
                os._exit(127)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _try(command: list[str], state: int, said: int) -> None:
    signal.set_wakeup_fd(-1)
    for signo in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signo, signal.SIG_DFL)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.set_inheritable(state, True)  # noqa: FBT003 - its only form
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # It outlasts exec, so the keeper needs no clock to be rid of code that hangs.
    signal.alarm(TRIAL_S)
    os.execve(command[0], command, os.environ)


def _tree(copy: str) -> list[str]:
    package = os.path.join(copy, "keeper")
    names = sorted(os.listdir(package))
    return [
        copy,
        os.path.join(copy, "__main__.py"),
        package,
        *(os.path.join(package, name) for name in names),
    ]


def _is_ours_alone(found: os.stat_result) -> bool:
    # A symbolic link is everybody's by its mode.
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077
