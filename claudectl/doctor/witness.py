"""Gathers the facts: asks the daemon, the system and the files. Starts no daemon and changes nothing."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from time import time

import msgspec

from claudectl.client import Client
from claudectl.doctor import system
from claudectl.doctor.facts import Answer, Clock, Disk, Facts, Kind, Owner, Place, Program
from claudectl.doctor.inquiry import ServiceManager
from claudectl.inheritance import inherited_environment
from claudectl.launch import Launcher
from claudectl.render import explain, explain_mismatch
from claudectl.transport import DaemonUnreachable, NoDaemon
from claudectl_protocol import __version__
from claudectl_protocol.calls import Diagnose, Status
from claudectl_protocol.diagnosis import Diagnosis
from claudectl_protocol.endpoint import EndpointUnsafe, config_directory, state_directory, verify_directory
from claudectl_protocol.faults import Rejected
from claudectl_protocol.framing import RemoteProtocolError, VersionMismatch
from claudectl_protocol.settings import FILE

DAEMON_S = 5.0
"""How long the daemon may take to say how it is."""
DIAGNOSIS_S = 30.0
"""The same for its side of the machine: Claude is asked for its version."""
_SCRIPT = b"claudectl.__main__"
_SCRIPT_BYTES = 8192


class Witness:
    """Looks once.

    Args:
        launcher: says where the daemon is; it is never asked to start one.
        environment: of the caller, in which Claude and `claudectl` are looked for.
        manager: the user's service manager.
    """

    def __init__(self, launcher: Launcher, environment: Mapping[str, str], manager: ServiceManager) -> None:
        self._socket = os.path.abspath(launcher.socket_path)
        self._environment = environment
        self._manager = manager
        self._uid = os.geteuid()
        self._state = state_directory(environment, self._uid)
        self._config = config_directory(environment, self._uid)

    def facts(self) -> Facts:
        """Everything, with what could not be found out said in its place."""
        answer, said = self._ask()
        trouble = ""
        if said is None:
            said, trouble = self._stand_in()
        config = os.path.join(self._config, FILE)
        service = self._manager.service()
        return Facts(
            version=__version__,
            uid=self._uid,
            socket=self._socket,
            state=self._state,
            places=tuple(self._places()),
            answer=answer,
            processes=system.processes(self._state, self._uid),
            lock_pid=self._lock_pid(),
            service=service,
            lingering=self._lingering(),
            program=self._program(),
            disks=tuple(_disks(self._state, said.projects if said is not None else ())),
            terminals=system.terminals(),
            groups=system.groups(self._uid),
            clock=self._clock(config),
            diagnosis=said,
            diagnosis_trouble=trouble,
            config_path=config,
            config_changed_at=_changed_at(config),
        )

    def _ask(self) -> tuple[Answer, Diagnosis | None]:
        """What the daemon says, if one answers."""
        try:
            with Client.connect(self._socket, DAEMON_S) as client:
                status = client.call(Status(), DAEMON_S)
                try:
                    call = Diagnose(cwd=_cwd(), env=inherited_environment(self._environment))
                    return Answer(status=status), client.call(call, DIAGNOSIS_S)
                except (Rejected, DaemonUnreachable):
                    # An older one does not know the call; the status says what matters of it.
                    return Answer(status=status), None
        except NoDaemon as error:
            return Answer(trouble=error.why, absent=True), None
        except DaemonUnreachable as error:
            return Answer(trouble=error.why), None
        except Rejected as rejected:
            return Answer(trouble=explain(rejected.fault)), None
        except VersionMismatch as mismatch:
            return Answer(trouble=explain_mismatch(mismatch)), None
        except RemoteProtocolError as error:
            return Answer(trouble=f"it does not keep to the protocol: {error}"), None

    def _stand_in(self) -> tuple[Diagnosis | None, str]:
        """What a daemon that was started here would say, and why it cannot be had."""
        # Not in the caller's directory, where a stranger's `claudectld` could lie.
        command = [sys.executable, "-m", "claudectld", "diagnose", "--socket", self._socket, "--cwd", _cwd()]
        try:
            done = subprocess.run(
                command,
                cwd="/",
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=DIAGNOSIS_S,
                check=False,
            )
            found = msgspec.json.decode(done.stdout, type=Diagnosis)
        except subprocess.TimeoutExpired:
            return None, f"it said nothing for {DIAGNOSIS_S:g} s"
        except OSError as error:
            return None, str(error)
        except msgspec.MsgspecError:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return None, lines[-1] if lines else f"it left with {done.returncode}"
        # Its descriptors are nobody's.
        return msgspec.structs.replace(found, files_open=None, files_soft=None), ""

    def _places(self) -> Iterator[Place]:
        sockets = os.path.dirname(self._socket)
        yield _place("socket directory", sockets, Kind.DIRECTORY, is_endpoint=True)
        yield _place("socket", self._socket, Kind.SOCKET)
        yield _place("state directory", self._state, Kind.DIRECTORY)
        yield _place("secrets", os.path.join(self._state, "env"), Kind.DIRECTORY)

    def _lock_pid(self) -> int | None:
        try:
            with open(os.path.join(self._state, "locks", "daemon.lock"), encoding="ascii") as file:
                pid = int(file.read(32))
        except (OSError, ValueError):
            return None
        return pid if system.is_daemon(pid) else None

    def _lingering(self) -> bool | None:
        said = self._manager.lingering()
        if said is not None:
            return said
        try:
            return system.lingering(pwd.getpwuid(self._uid).pw_name)
        except KeyError:
            return None

    def _program(self) -> Program:
        own = os.path.dirname(sys.executable)
        if not os.path.exists(os.path.join(own, "claudectl")):
            own = ""
        found = shutil.which("claudectl", path=self._environment.get("PATH", os.defpath))
        if found is None:
            return Program(own_directory=own)
        return Program(path=os.path.abspath(found), owner=_owner(found, own), own_directory=own)

    def _clock(self, config: str) -> Clock:
        candidates = (
            config,
            os.path.join(self._config, "data.json"),
            os.path.join(self._state, "keeper.json"),
            os.path.join(self._state, "logs", "claudectld.log"),
        )
        at, path = max((_changed_at(path) or 0.0, path) for path in candidates)
        return Clock(now=time(), boot_at=system.boot_at(), newest_path=path if at else "", newest_at=at)


def _place(name: str, path: str, wanted: Kind, *, is_endpoint: bool = False) -> Place:
    try:
        status = os.lstat(path)
    except OSError:
        return Place(name=name, path=path, wanted=wanted, found=Kind.MISSING)
    unsafe = ""
    if is_endpoint:
        try:
            verify_directory(path)
        except EndpointUnsafe as error:
            unsafe = str(error)
        except OSError as error:
            unsafe = f"{path}: {error.strerror}"
    return Place(
        name=name,
        path=path,
        wanted=wanted,
        found=_kind(status.st_mode),
        owner=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
        unsafe=unsafe,
    )


def _kind(mode: int) -> Kind:
    kinds = {
        stat.S_IFDIR: Kind.DIRECTORY,
        stat.S_IFSOCK: Kind.SOCKET,
        stat.S_IFREG: Kind.FILE,
        stat.S_IFLNK: Kind.LINK,
    }
    return kinds.get(stat.S_IFMT(mode), Kind.OTHER)


def _owner(program: str, own: str) -> Owner:
    """Whose script it is: one of ours names the module it starts, and the interpreter beside it."""
    real = os.path.realpath(program)
    try:
        with open(real, "rb") as file:
            head = file.read(_SCRIPT_BYTES)
    except OSError:
        return Owner.FOREIGN
    if _SCRIPT not in head:
        return Owner.FOREIGN
    if os.path.realpath(os.path.dirname(real)) == os.path.realpath(own):
        return Owner.OURS
    return Owner.OURS if os.fsencode(os.path.join(own, "python")) in head else Owner.OTHER_INSTALLATION


def _disks(state: str, projects: tuple[str, ...]) -> Iterator[Disk]:
    """The state directory's disk, and that of the project that has least room."""
    yield from filter(None, (_disk("state", state),))
    rooms = [disk for disk in (_disk("projects", path) for path in projects) if disk is not None]
    if rooms:
        yield min(rooms, key=lambda disk: (not disk.read_only, disk.free_bytes))


def _disk(name: str, path: str) -> Disk | None:
    # What is not there yet will lie where its nearest directory lies.
    here = path
    while not os.path.isdir(here) and here != os.path.dirname(here):
        here = os.path.dirname(here)
    try:
        room = os.statvfs(here)
    except OSError:
        return None
    return Disk(
        name=name,
        path=path,
        free_bytes=room.f_bavail * room.f_frsize,
        # Some file systems make their inodes as they go, and say 0 of 0.
        free_files=room.f_favail if room.f_files else None,
        read_only=bool(room.f_flag & os.ST_RDONLY),
    )


def _changed_at(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"
