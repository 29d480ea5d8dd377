"""Everything the doctor looks at, as values. None means that this system does not say."""

from enum import StrEnum

from claudectl_protocol.diagnosis import Diagnosis
from claudectl_protocol.sessions import DaemonStatus, Value


class Kind(StrEnum):
    """What lies at a path."""

    MISSING = "missing"
    DIRECTORY = "directory"
    SOCKET = "socket"
    FILE = "file"
    LINK = "link"
    OTHER = "other"


class Place(Value):
    """A directory or socket that must be ours alone."""

    name: str
    path: str
    wanted: Kind
    found: Kind
    owner: int = 0
    mode: int = 0
    """Permission bits."""
    unsafe: str = ""
    """What endpoint.verify_directory says about a directory of sockets, completing 'it …'."""


class Answer(Value):
    """What came of talking to the daemon."""

    status: DaemonStatus | None = None
    trouble: str = ""
    """Why there is no status."""
    absent: bool = False
    """Nobody listens."""


class Process(Value):
    """A daemon or keeper of this state directory."""

    pid: int
    group: str | None = None
    """The path of its cgroup."""
    files_open: int | None = None
    files_soft: int | None = None
    files_hard: int | None = None
    code: str = ""
    """Of a keeper: the name of the copy that it runs."""


class Processes(Value):
    """The daemons and keepers of this state directory that live."""

    daemons: tuple[Process, ...] = ()
    keepers: tuple[Process, ...] = ()


class Unit(Value):
    """A service as its manager knows it."""

    installed: bool = False
    enabled: bool = False
    state: str = "inactive"
    """active, inactive, failed or another word of the manager's."""
    pid: int | None = None


class Service(Value):
    """The user's service manager, and our services in it."""

    manager: str
    """systemd, launchd, or empty where neither is installed."""
    trouble: str = ""
    """Why it does not answer."""
    daemon: Unit = Unit()
    keeper: Unit = Unit()


class Owner(StrEnum):
    """Whose program a `claudectl` is."""

    OURS = "ours"
    OTHER_INSTALLATION = "other installation"
    FOREIGN = "foreign"
    NOBODY = "nobody"


class Program(Value):
    """The `claudectl` that a shell would run."""

    path: str = ""
    owner: Owner = Owner.NOBODY
    own_directory: str = ""
    """Where this installation's lies."""


class Disk(Value):
    """The file system of a place."""

    name: str
    path: str
    free_bytes: int
    free_files: int | None = None
    read_only: bool = False


class Terminals(Value):
    """Pseudo-terminals of the machine."""

    most: int
    used: int | None = None


class Groups(Value):
    """What the user's service manager may limit."""

    unified: bool
    controllers: tuple[str, ...] | None = None
    """None when the manager has no group."""


class Clock(Value):
    """Times in seconds since 1970."""

    now: float
    boot_at: float | None = None
    newest_path: str = ""
    newest_at: float = 0.0
    """When the newest of our files was changed, by the clock of that time."""


class Facts(Value):
    """Everything."""

    version: str
    uid: int
    socket: str
    state: str
    places: tuple[Place, ...]
    answer: Answer
    processes: Processes | None
    lock_pid: int | None
    """Whom the daemon's lock names, if that process lives."""
    service: Service
    lingering: bool | None
    program: Program
    disks: tuple[Disk, ...]
    terminals: Terminals | None
    groups: Groups | None
    clock: Clock
    diagnosis: Diagnosis | None
    diagnosis_trouble: str = ""
    """Why there is none."""
    config_path: str = ""
    config_changed_at: float | None = None
    """None when there is no file."""
