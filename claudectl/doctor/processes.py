"""What the processes say: the daemon, the keeper, and what the system lets them have."""

from collections.abc import Iterator

from claudectl.doctor.facts import Answer, Groups, Process, Processes, Terminals
from claudectl.doctor.findings import Finding, ok, weaker, wrong
from claudectl_protocol.sessions import DaemonStatus

START = "claudectl daemon start"
RESTART = "claudectl daemon restart"
FEW_FILES = 4096
FILES_PER_SESSION = 4
"""Terminal, process and record of a session in the keeper, with room for what comes and goes."""
LEAST_TERMINALS = 8
FEW_TERMINALS = 64
WANTED_CONTROLLERS = ("memory", "pids")


def daemon(answer: Answer, version: str, lock_pid: int | None, socket: str) -> Finding:
    """Whether the daemon answers, and is of our version."""
    status = answer.status
    if status is None:
        if lock_pid is not None:
            was = f"the daemon (pid {lock_pid}) does not answer at {socket}: {answer.trouble}"
            return wrong("daemon", was, f"kill {lock_pid}, then {START} (sessions go on)")
        if answer.absent:
            return ok("daemon", "does not run; the next command that needs one starts it")
        return wrong("daemon", answer.trouble, RESTART)
    if status.version != version:
        was = f"{status.version} runs (pid {status.pid}), but this is {version}"
        return weaker("daemon", was, f"{RESTART} (sessions go on)")
    return ok("daemon", f"{status.version} answers (pid {status.pid})")


def troubles(status: DaemonStatus | None) -> Iterator[Finding]:
    """What the daemon itself complains about."""
    if status is None:
        return
    for problem in status.problems:
        yield weaker("notice", problem)
    if status.orphans:
        was = f"{len(status.orphans)} runs belong to no session: {', '.join(status.orphans)}"
        yield weaker("notice", was, "look at their records, and end their processes by hand")


def only_daemon(answer: Answer, processes: Processes | None, lock_pid: int | None) -> Iterator[Finding]:
    """Whether there is one daemon, and the one that holds the lock is the one that answers."""
    if processes is None:
        return
    pids = tuple(process.pid for process in processes.daemons)
    answering = answer.status.pid if answer.status is not None else None
    # A daemon elsewhere on this socket is found by its answer only.
    every = tuple(sorted({*pids, *(pid for pid in (answering, lock_pid) if pid is not None)}))
    if len(every) > 1:
        stray = [pid for pid in every if pid != (lock_pid or answering)]
        roles = "; ".join(
            f"{pid} {' and '.join(_roles(pid, answering, lock_pid)) or 'does neither'}" for pid in every
        )
        was = f"there are {len(every)} for this state directory: {roles}"
        yield wrong("one daemon", was, f"kill {' '.join(map(str, stray))} (sessions go on)")
    elif every:
        yield ok("one daemon", f"pid {every[0]} is the only one for this state directory")


def _roles(pid: int, answering: int | None, lock_pid: int | None) -> Iterator[str]:
    if pid == answering:
        yield "answers"
    if pid == lock_pid:
        yield "holds the lock"


def keeper(answer: Answer, processes: Processes | None, code: str) -> Iterator[Finding]:
    """Whether the keeper keeps, and runs the code that belongs to this installation (`code`, empty if unknown)."""
    status = answer.status
    found = processes.keepers if processes is not None else ()
    if status is not None and status.keeper == "stalled":
        fix = f"kill -CONT {status.keeper_pid}, in case it was stopped" if status.keeper_pid else ""
        was = f"it (pid {status.keeper_pid}) does not answer; its sessions live on, but nothing can be typed"
        yield wrong("keeper", was, fix)
    elif status is not None and status.keeper == "gone":
        yield wrong("keeper", "it is gone; the daemon holds its sessions until there is another", RESTART)
    elif len(found) > 1:
        was = f"there are {len(found)} for this state directory: {_pids(found)}"
        yield wrong("keeper", was, f"{RESTART}; one without children leaves by itself")
    elif status is not None:
        yield ok("keeper", f"keeps (pid {status.keeper_pid})")
    elif found:
        was = f"keeps (pid {found[0].pid}), but no daemon watches: no state is known, nothing is restored"
        yield weaker("keeper", was, START)
    else:
        yield ok("keeper", "does not run: there is nothing to keep")
    running = found[0].code if len(found) == 1 else ""
    if running and code:
        if running == code:
            yield ok("keeper's code", f"{running} is this installation's")
        else:
            was = f"it runs {running}, but this installation has {code}"
            yield weaker("keeper's code", was, "claudectl daemon upgrade (sessions go on)")


def keeper_group(processes: Processes | None) -> Iterator[Finding]:
    """Whether what ends the daemon's cgroup would end the sessions."""
    if processes is None or len(processes.keepers) != 1:
        return
    own = processes.keepers[0].group
    daemons = {process.group for process in processes.daemons if process.group is not None}
    if own is None:
        return
    if own == "/":
        yield ok("keeper's cgroup", "the root's; nothing here ends processes by their group")
    elif own in daemons:
        was = f"{own} is the daemon's too: who ends one ends all sessions"
        fix = "claudectl daemon install, then start the sessions anew when it suits"
        yield weaker("keeper's cgroup", was, fix)
    else:
        yield ok("keeper's cgroup", f"{own} is not the daemon's")


def open_files(
    processes: Processes | None, answering: int | None, answering_soft: int | None
) -> Iterator[Finding]:
    """How many descriptors daemon and keeper may have.

    Args:
        answering, answering_soft: what the daemon says of itself, for systems that do not show other processes.
    """
    if processes is None:
        if answering_soft is not None:
            yield _files("daemon", Process(pid=0, files_open=answering, files_soft=answering_soft))
        return
    for name, found in (("daemon", processes.daemons), ("keeper", processes.keepers)):
        for process in found:
            if process.files_soft is not None:
                yield _files(name, process)


def _files(name: str, process: Process) -> Finding:
    check = f"open files ({name})"
    soft = process.files_soft or 0
    used = f", {process.files_open} are open" if process.files_open is not None else ""
    hard = f" (hard limit {process.files_hard})" if process.files_hard is not None else ""
    was = f"it may open {soft}{hard}{used}"
    fix = "raise 'ulimit -Hn' before its next start, or claudectl daemon install"
    if process.files_open is not None and process.files_open * 10 > soft * 9:
        return wrong(check, was, fix)
    if soft < FEW_FILES:
        return weaker(check, f"{was}: enough for about {soft // FILES_PER_SESSION} sessions", fix)
    return ok(check, was)


def terminals(found: Terminals | None) -> Iterator[Finding]:
    """Every session needs one pseudo-terminal."""
    if found is None:
        return
    if found.used is None:
        yield ok("terminals", f"the machine has {found.most}")
        return
    free = found.most - found.used
    was = f"{found.used} of {found.most} pseudo-terminals are in use"
    fix = f"sysctl kernel.pty.max={max(4096, 2 * found.most)}"
    if free < LEAST_TERMINALS:
        yield wrong("terminals", was, fix)
    elif free < FEW_TERMINALS:
        yield weaker("terminals", was, fix)
    else:
        yield ok("terminals", was)


def groups(found: Groups | None) -> Iterator[Finding]:
    """Whether limits on memory and processes could be enforced for a session."""
    if found is None:
        return
    check = "cgroup limits"
    if not found.unified:
        was = "the machine has no unified cgroup tree: memory and processes of a session cannot be limited"
        yield weaker(check, was, "boot with systemd.unified_cgroup_hierarchy=1")
    elif found.controllers is None:
        was = "there is no group user@.service of yours: memory and processes of a session cannot be limited"
        yield weaker(check, was, "log in by a way that starts one (systemctl --user status)")
    else:
        missing = [one for one in WANTED_CONTROLLERS if one not in found.controllers]
        if missing:
            was = f"your user may not limit {' and '.join(missing)}"
            fix = "add 'Delegate=memory pids' to user@.service (systemctl edit user@.service)"
            yield weaker(check, was, fix)
        else:
            yield ok(check, f"your user may limit {', '.join(found.controllers)}")


def _pids(processes: tuple[Process, ...]) -> str:
    return ", ".join(str(process.pid) for process in processes)
