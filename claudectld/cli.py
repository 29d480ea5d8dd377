"""`claudectld`: from the command line to a running daemon, with one sentence for whatever is in the way."""

import faulthandler
import logging
import logging.handlers
import os
import resource
import signal
import time
from typing import NoReturn

import anyio
import click
import msgspec

from claudectl_protocol import __version__
from claudectl_protocol.endpoint import EndpointError
from claudectld import config, daemon
from claudectld.diagnosis import diagnosis
from claudectld.keeper.start import be_keeper
from claudectld.listener import AlreadyRunning, StateLock
from claudectld.notify import Notifier
from claudectld.ports import KeeperGone

LOG_BYTES = 4 * config.MIB
REBIND_S = 5.0


@click.group()
@click.version_option(__version__, prog_name="claudectld")
def main() -> None:
    """The daemon that supervises Claude Code sessions. People use `claudectl`."""


@main.command()
@click.option("--socket", "socket_path", help="Where to listen.", metavar="PATH")
@click.option("--ready-fd", type=int, help="Write 'ready' here when serving, or one sentence.", metavar="N")
def run(socket_path: str | None, ready_fd: int | None) -> None:
    """Serve in the foreground until told to leave. Sessions go on without it."""
    # From the moment we hold the lock we may be asked to bind our socket again: not yet being able to is no reason
    # to die.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # A watchdog ends a daemon that hangs by SIGABRT: its last words are where.
    faulthandler.enable()
    notifier = Notifier.take(os.environ)
    starter = _Starter(ready_fd, notifier)
    try:
        places = config.places(os.environ, os.geteuid(), socket_path)
        _make_private(places.state, os.path.join(places.state, "locks"), os.path.dirname(places.log))
        lock = StateLock(os.path.join(places.state, "locks", "daemon.lock"))
    except AlreadyRunning as error:
        _wake(error.pid, places.socket)
        # To the service manager that is a service which is ready and then ends: else it would try again for ever.
        notifier.ready()
        notifier.status(str(error))
        starter.say(str(error))
        raise SystemExit(0) from None
    except (EndpointError, OSError) as error:
        starter.fail(str(error))
    _log_to(places.log)
    _raise_file_limit()
    chosen, notice = config.read(places.config)
    try:
        anyio.run(
            lambda: daemon.run(
                places,
                chosen,
                notices=(notice,) if notice else (),
                ready=lambda: starter.say("ready"),
                notifier=notifier,
            )
        )
    except* (KeeperGone, EndpointError, OSError) as group:
        starter.fail(_first(group))
    finally:
        lock.close()


@main.command()
@click.option(
    "--socket", "socket_path", help="The daemon's socket; the keeper's is beside it.", metavar="PATH"
)
@click.option("--detach", is_flag=True, help="Leave the process group and return when it serves.")
def keeper(socket_path: str | None, detach: bool) -> None:
    """Be the keeper of all sessions, from a copy that outlives this installation. For service managers."""
    try:
        places = config.places(os.environ, os.geteuid(), socket_path)
        be_keeper(places.state, places.keeper_socket, detached=detach)
    except (KeeperGone, EndpointError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command(hidden=True)
@click.option("--socket", "socket_path", metavar="PATH")
@click.option("--cwd", default="/", metavar="DIR")
def diagnose(socket_path: str | None, cwd: str) -> None:
    """Print as JSON what a daemon started here would say to Diagnose; for when none runs."""
    try:
        places = config.places(os.environ, os.geteuid(), socket_path)
    except (EndpointError, OSError) as error:
        raise click.ClickException(str(error)) from error
    chosen, problem = config.read(places.config)
    found = diagnosis(os.environ, cwd, places, chosen, problem)
    click.echo(msgspec.json.encode(found))


class _Starter:
    """Whoever started this process, told once that it serves or why it does not."""

    def __init__(self, fd: int | None, notifier: Notifier) -> None:
        self._fd = fd
        self._notifier = notifier

    def say(self, sentence: str) -> None:
        """Say it on the ready descriptor, or on stderr where there is none."""
        if self._fd is None:
            click.echo(f"claudectld: {sentence}", err=True)
            return
        try:
            os.write(self._fd, f"{sentence}\n".encode())
        except BrokenPipeError:
            # The starter has lost patience; it is not needed.
            pass
        os.close(self._fd)
        self._fd = None

    def fail(self, sentence: str) -> NoReturn:
        """Say it and leave."""
        logging.getLogger(__name__).error("event=not_started error=%s", sentence)
        self._notifier.status(sentence)
        self.say(sentence)
        raise SystemExit(1)


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _make_private(*directories: str) -> None:
    for directory in directories:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)


def _wake(pid: int | None, socket_path: str) -> None:
    """Have the daemon that runs bind its socket again if that has been swept away, and wait until it has."""
    if pid is None or os.path.exists(socket_path):
        return
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + REBIND_S
    while not os.path.exists(socket_path) and time.monotonic() < deadline:
        time.sleep(0.02)


def _log_to(path: str) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    os.chmod(path, 0o600)
    handler.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS reports an unlimited hard value that it then refuses.
            pass
