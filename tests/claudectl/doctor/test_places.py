"""What the files mean."""

import pytest
from msgspec.structs import replace

from claudectl.doctor import places
from claudectl.doctor.facts import Clock, Disk, Kind, Owner, Place, Program
from claudectl.doctor.findings import Grade
from tests.claudectl.doctor.samples import CLOCK, DISK, GIB, NOW, PLACE, UID

PATH = PLACE.path


@pytest.mark.parametrize(
    ("place", "grade", "found", "fix"),
    [
        (PLACE, Grade.OK, "is yours alone", ""),
        (replace(PLACE, found=Kind.MISSING), Grade.OK, "is not there yet", ""),
        (replace(PLACE, found=Kind.LINK), Grade.WRONG, "is a symbolic link", f"rm {PATH}"),
        (replace(PLACE, found=Kind.FILE), Grade.WRONG, "is no directory", f"move {PATH} away"),
        (replace(PLACE, owner=0), Grade.WRONG, "belongs to user 0", "CLAUDECTL_SOCKET"),
        (replace(PLACE, mode=0o755), Grade.WRONG, "mode 0755", f"chmod go-rwx {PATH}"),
        (replace(PLACE, mode=0o710), Grade.WRONG, "mode 0710", f"chmod go-rwx {PATH}"),
        (replace(PLACE, mode=0o600), Grade.WRONG, "cannot be used by you", f"chmod u+rwx {PATH}"),
        (replace(PLACE, unsafe="/run may be written by everybody"), Grade.WRONG, "may be written", "SOCKET"),
        (
            replace(PLACE, wanted=Kind.SOCKET, found=Kind.SOCKET, mode=0o600),
            Grade.OK,
            "is yours alone (mode 0600)",
            "",
        ),
        (
            replace(PLACE, wanted=Kind.SOCKET, found=Kind.SOCKET, mode=0o400),
            Grade.WRONG,
            "cannot be used by you",
            f"chmod u+rw {PATH}",
        ),
    ],
)
def test_a_place_is_ours_alone_or_wrong(place: Place, grade: Grade, found: str, fix: str) -> None:
    (finding,) = places.places((place,), UID)

    assert finding.grade is grade
    assert found in finding.found
    assert fix in finding.fix
    assert bool(finding.fix) == bool(fix)


@pytest.mark.parametrize(
    ("disk", "grade", "found"),
    [
        (DISK, Grade.OK, "10240 MiB are free"),
        (replace(DISK, free_bytes=GIB), Grade.OK, "1024 MiB"),
        (replace(DISK, free_bytes=GIB - 1), Grade.WEAKER, "only 1023 MiB"),
        (replace(DISK, free_bytes=places.LEAST_BYTES), Grade.WEAKER, "only 64 MiB"),
        (replace(DISK, free_bytes=places.LEAST_BYTES - 1), Grade.WRONG, "only 63 MiB"),
        (replace(DISK, free_files=99), Grade.WRONG, "only 99 more files"),
        (replace(DISK, free_files=None), Grade.OK, "MiB are free"),
        (replace(DISK, read_only=True), Grade.WRONG, "read-only file system"),
    ],
)
def test_a_disk_has_room_little_room_or_none(disk: Disk, grade: Grade, found: str) -> None:
    (finding,) = places.disks((disk,))

    assert (finding.check, finding.grade) == ("disk (state)", grade)
    assert found in finding.found


@pytest.mark.parametrize(
    ("clock", "grade", "found"),
    [
        (CLOCK, Grade.OK, "up for 2h"),
        (replace(CLOCK, boot_at=None), Grade.OK, "plausible"),
        (replace(CLOCK, now=86400.0), Grade.WRONG, "the year 1970"),
        (replace(CLOCK, now=NOW * 5), Grade.WRONG, "the year 2254"),
        (replace(CLOCK, boot_at=NOW + 3600), Grade.WRONG, "started in the future"),
        (replace(CLOCK, boot_at=0.0), Grade.WRONG, "started in the future"),
        (replace(CLOCK, newest_at=NOW + 59), Grade.OK, "plausible"),
        (replace(CLOCK, newest_at=NOW + 7200), Grade.WEAKER, "dated 2h in the future"),
    ],
)
def test_a_clock_is_plausible_or_not(clock: Clock, grade: Grade, found: str) -> None:
    finding = places.clock(clock)

    assert finding.grade is grade
    assert found in finding.found


@pytest.mark.parametrize(
    ("program", "grade", "found", "fix"),
    [
        (Program(path="/b/claudectl", owner=Owner.OURS, own_directory="/b"), Grade.OK, "is this one", ""),
        (
            Program(path="/b/claudectl", owner=Owner.OTHER_INSTALLATION, own_directory="/v"),
            Grade.WEAKER,
            "another installation",
            "put /v first on PATH",
        ),
        (
            Program(path="/b/claudectl", owner=Owner.FOREIGN, own_directory="/v"),
            Grade.WRONG,
            "/b/claudectl is another program",
            "put /v first on PATH",
        ),
        (Program(), Grade.WEAKER, "there is none", "put this one first on PATH"),
    ],
)
def test_the_claudectl_on_path_is_ours_or_not(program: Program, grade: Grade, found: str, fix: str) -> None:
    finding = places.program(program)

    assert (finding.grade, finding.fix) == (grade, fix)
    assert found in finding.found
