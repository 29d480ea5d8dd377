"""Facts of a machine on which all is well, to be spoilt one at a time."""

from claudectl.doctor.facts import (
    Answer,
    Clock,
    Disk,
    Facts,
    Groups,
    Kind,
    Owner,
    Place,
    Process,
    Processes,
    Program,
    Service,
    Terminals,
    Unit,
)
from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from claudectl_protocol.sessions import DaemonStatus

UID = 1000
SOCKET = "/run/user/1000/claudectl/0a1b2c3d/daemon.sock"
STATE = "/home/ada/.local/state/claudectl"
NOW = 1_795_000_000.0
GIB = 1 << 30

STATUS = DaemonStatus(
    version="1.0",
    pid=100,
    started_at=NOW - 100,
    socket=SOCKET,
    state_directory=STATE,
    keeper="ok",
    keeper_pid=200,
    sessions=2,
    active=1,
    projects=1,
)
ANSWER = Answer(status=STATUS)
SILENT = Answer(trouble="the daemon did not answer within 5 s")
ABSENT = Answer(trouble="no daemon answers", absent=True)
DAEMON = Process(pid=100, group="/d.service", files_open=20, files_soft=65536, files_hard=65536)
KEEPER = Process(
    pid=200, group="/k.service", files_open=20, files_soft=65536, files_hard=65536, code="0123456789abcdef"
)
PROCESSES = Processes(daemons=(DAEMON,), keepers=(KEEPER,))
SERVICE = Service(
    manager="systemd",
    daemon=Unit(installed=True, enabled=True, state="active", pid=100),
    keeper=Unit(installed=True, state="active", pid=200),
)
PLACE = Place(
    name="socket directory",
    path="/run/user/1000/claudectl/0a1b2c3d",
    wanted=Kind.DIRECTORY,
    found=Kind.DIRECTORY,
    owner=UID,
    mode=0o700,
)
CLAUDE = ClaudeFacts(path="/usr/bin/claude", version="2.1.330", logins=("ANTHROPIC_API_KEY",))
DIAGNOSIS = Diagnosis(claude=CLAUDE, keeper_code="0123456789abcdef", projects=("/home/ada/api",))
DISK = Disk(name="state", path=STATE, free_bytes=10 * GIB, free_files=1_000_000)
CLOCK = Clock(now=NOW, boot_at=NOW - 7200, newest_path=f"{STATE}/keeper.json", newest_at=NOW - 1)
FACTS = Facts(
    version="1.0",
    uid=UID,
    socket=SOCKET,
    state=STATE,
    places=(PLACE,),
    answer=ANSWER,
    processes=PROCESSES,
    lock_pid=100,
    service=SERVICE,
    lingering=True,
    program=Program(path="/usr/bin/claudectl", owner=Owner.OURS, own_directory="/usr/bin"),
    disks=(DISK,),
    terminals=Terminals(most=4096, used=10),
    groups=Groups(unified=True, controllers=("cpu", "memory", "pids")),
    clock=CLOCK,
    diagnosis=DIAGNOSIS,
    config_path="/home/ada/.config/claudectl/claudectld.toml",
    config_changed_at=NOW - 1000,
)
