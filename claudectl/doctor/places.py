"""What the files say: who may enter our directories, disks, the clock, and which `claudectl` a shell would run."""

from collections.abc import Iterator
from shlex import quote
from time import gmtime

from claudectl.doctor.facts import Clock, Disk, Kind, Owner, Place, Program
from claudectl.doctor.findings import Finding, ok, weaker, wrong
from claudectl_protocol.text import age

MIB = 1024 * 1024
LEAST_BYTES = 64 * MIB
"""What one run may record; with less a session soon has a gap."""
FEW_BYTES = 1024 * MIB
LEAST_FILES = 100
FIRST_YEAR = 2024
"""An earlier one comes from a clock that has forgotten the time."""
LAST_YEAR = 2100
SLACK_S = 60.0
"""Clocks of file servers differ by so much."""


def places(found: tuple[Place, ...], uid: int) -> Iterator[Finding]:
    """Every directory and socket of ours: only we may enter."""
    for place in found:
        yield _place(place, uid)


def _place(place: Place, uid: int) -> Finding:
    if place.found is Kind.MISSING:
        return ok(place.name, f"{place.path} is not there yet")
    if place.found is Kind.LINK:
        return wrong(place.name, f"{place.path} is a symbolic link", f"rm {quote(place.path)}")
    if place.found is not place.wanted:
        return wrong(place.name, f"{place.path} is no {place.wanted.value}", f"move {quote(place.path)} away")
    if place.owner != uid:
        fix = "choose another place with CLAUDECTL_SOCKET, or have that user remove it"
        return wrong(place.name, f"{place.path} belongs to user {place.owner}", fix)
    if place.mode & 0o077:
        fix = f"chmod go-rwx {quote(place.path)}"
        return wrong(place.name, f"{place.path} may be entered by others (mode {place.mode:04o})", fix)
    wanted = 0o700 if place.wanted is Kind.DIRECTORY else 0o600
    if place.mode & wanted != wanted:
        return wrong(
            place.name,
            f"{place.path} cannot be used by you (mode {place.mode:04o})",
            f"chmod u+rw{'x' if place.wanted is Kind.DIRECTORY else ''} {quote(place.path)}",
        )
    if place.unsafe:
        fix = "choose another place with CLAUDECTL_SOCKET"
        return wrong(place.name, f"{place.path} is not safe: {place.unsafe}", fix)
    return ok(place.name, f"{place.path} is yours alone (mode {place.mode:04o})")


def disks(found: tuple[Disk, ...]) -> Iterator[Finding]:
    """Room for records and session files."""
    for disk in found:
        yield _disk(disk)


def _disk(disk: Disk) -> Finding:
    check = f"disk ({disk.name})"
    free = f"{disk.free_bytes // MIB} MiB are free for {disk.path}"
    if disk.read_only:
        return wrong(check, f"{disk.path} is on a read-only file system", "mount it writable")
    if disk.free_bytes < LEAST_BYTES:
        return wrong(check, f"only {free}", "make room: output is lost when it is full")
    if disk.free_files is not None and disk.free_files < LEAST_FILES:
        return wrong(check, f"only {disk.free_files} more files fit for {disk.path}", "delete some files")
    if disk.free_bytes < FEW_BYTES:
        return weaker(
            check, f"only {free}", "make room, or lower records.limit_mib with 'claudectl config set'"
        )
    return ok(check, free)


def clock(found: Clock) -> Finding:
    """The time of day: ages, restore and locks depend on it."""
    fix = "set the clock, as with 'timedatectl set-ntp true'"
    year = gmtime(found.now).tm_year
    if not FIRST_YEAR <= year < LAST_YEAR:
        return wrong("clock", f"the clock says that it is the year {year}", fix)
    if found.boot_at is not None and not 0 < found.boot_at <= found.now + SLACK_S:
        return wrong("clock", "the machine was started in the future", fix)
    ahead_s = found.newest_at - found.now
    if ahead_s > SLACK_S:
        was = f"{found.newest_path} is dated {age(ahead_s)} in the future: the clock has gone back"
        return weaker("clock", was, fix)
    if found.boot_at is None:
        return ok("clock", "plausible")
    return ok("clock", f"plausible; the machine has been up for {age(found.now - found.boot_at)}")


def program(found: Program) -> Finding:
    """Which program the word `claudectl` means to a shell or a script."""
    first = (
        f"put {found.own_directory} first on PATH" if found.own_directory else "put this one first on PATH"
    )
    match found.owner:
        case Owner.OURS:
            return ok("claudectl on PATH", f"{found.path} is this one")
        case Owner.OTHER_INSTALLATION:
            was = f"{found.path} is another installation of claudectl"
            return weaker("claudectl on PATH", was, first)
        case Owner.FOREIGN:
            return wrong("claudectl on PATH", f"{found.path} is another program of this name", first)
        case Owner.NOBODY:
            return weaker("claudectl on PATH", "there is none", first)
