"""What the processes mean."""

import pytest
from msgspec.structs import replace

from claudectl.doctor import processes
from claudectl.doctor.facts import Answer, Groups, Process, Processes, Terminals
from claudectl.doctor.findings import Grade
from tests.claudectl.doctor.samples import (
    ABSENT,
    ANSWER,
    DAEMON,
    KEEPER,
    PROCESSES,
    SILENT,
    SOCKET,
    STATUS,
)

CODE = KEEPER.code


@pytest.mark.parametrize(
    ("answer", "lock_pid", "grade", "found", "fix"),
    [
        (ANSWER, 100, Grade.OK, "1.0 answers (pid 100)", ""),
        (ABSENT, None, Grade.OK, "does not run", ""),
        (ABSENT, 100, Grade.WRONG, f"(pid 100) does not answer at {SOCKET}", "kill 100"),
        (SILENT, 100, Grade.WRONG, "did not answer within 5 s", "kill 100"),
        (SILENT, None, Grade.WRONG, "did not answer within 5 s", "restart"),
        (Answer(status=replace(STATUS, version="0.9")), 100, Grade.WEAKER, "0.9 runs", "restart"),
    ],
)
def test_the_daemon_answers_or_not(
    answer: Answer, lock_pid: int | None, grade: Grade, found: str, fix: str
) -> None:
    finding = processes.daemon(answer, "1.0", lock_pid, SOCKET)

    assert finding.grade is grade
    assert found in finding.found
    assert fix in finding.fix
    assert bool(finding.fix) == bool(fix)


@pytest.mark.parametrize(
    ("answer", "found", "lock_pid", "grade", "said", "fix"),
    [
        (ANSWER, PROCESSES, 100, Grade.OK, "pid 100 is the only one", ""),
        (ANSWER, PROCESSES, None, Grade.OK, "pid 100 is the only one", ""),
        (ANSWER, PROCESSES, 101, Grade.WRONG, "100 answers; 101 holds the lock", "kill 100"),
        (
            ANSWER,
            Processes(daemons=(DAEMON, replace(DAEMON, pid=99))),
            100,
            Grade.WRONG,
            "99 does neither; 100 answers and holds the lock",
            "kill 99",
        ),
        (ABSENT, Processes(daemons=(DAEMON,)), None, Grade.OK, "pid 100 is the only one", ""),
    ],
)
def test_there_is_one_daemon_or_it_is_wrong(
    answer: Answer, found: Processes, lock_pid: int | None, grade: Grade, said: str, fix: str
) -> None:
    (finding,) = processes.only_daemon(answer, found, lock_pid)

    assert finding.grade is grade
    assert said in finding.found
    assert finding.fix.startswith(fix)
    assert bool(finding.fix) == bool(fix)


def test_nothing_is_said_of_daemons_where_there_is_none_or_nobody_tells() -> None:
    assert [*processes.only_daemon(ABSENT, Processes(), None)] == []
    assert [*processes.only_daemon(ANSWER, None, 100)] == []


@pytest.mark.parametrize(
    ("answer", "found", "code", "expected"),
    [
        (ANSWER, PROCESSES, CODE, [(Grade.OK, "keeps (pid 200)"), (Grade.OK, "is this installation's")]),
        (ANSWER, PROCESSES, "", [(Grade.OK, "keeps (pid 200)")]),
        (ANSWER, None, CODE, [(Grade.OK, "keeps (pid 200)")]),
        (
            ANSWER,
            PROCESSES,
            "feedfeedfeedfeed",
            [(Grade.OK, "keeps"), (Grade.WEAKER, f"it runs {CODE}, but this installation has feedfeed")],
        ),
        (
            Answer(status=replace(STATUS, keeper="stalled")),
            Processes(daemons=(DAEMON,)),
            CODE,
            [(Grade.WRONG, "(pid 200) does not answer")],
        ),
        (
            Answer(status=replace(STATUS, keeper="gone", keeper_pid=None)),
            Processes(daemons=(DAEMON,)),
            CODE,
            [(Grade.WRONG, "it is gone")],
        ),
        (
            ANSWER,
            Processes(keepers=(KEEPER, replace(KEEPER, pid=201))),
            CODE,
            [(Grade.WRONG, "there are 2 for this state directory: 200, 201")],
        ),
        (ABSENT, Processes(keepers=(KEEPER,)), "", [(Grade.WEAKER, "no daemon watches")]),
        (ABSENT, Processes(), CODE, [(Grade.OK, "does not run")]),
    ],
)
def test_the_keeper_keeps_or_not(
    answer: Answer, found: Processes | None, code: str, expected: list[tuple[Grade, str]]
) -> None:
    findings = [*processes.keeper(answer, found, code)]

    assert [finding.grade for finding in findings] == [grade for grade, _ in expected]
    for finding, (grade, words) in zip(findings, expected, strict=True):
        assert words in finding.found
        assert bool(finding.fix) == (grade is not Grade.OK)


@pytest.mark.parametrize(
    ("found", "grades"),
    [
        (PROCESSES, [Grade.OK]),
        (Processes(daemons=(DAEMON,), keepers=(replace(KEEPER, group="/d.service"),)), [Grade.WEAKER]),
        # In a container without a service manager nobody ends processes by their group.
        (Processes(daemons=(replace(DAEMON, group="/"),), keepers=(replace(KEEPER, group="/"),)), [Grade.OK]),
        (Processes(daemons=(DAEMON,), keepers=(replace(KEEPER, group=None),)), []),
        (Processes(daemons=(DAEMON,)), []),
        (None, []),
    ],
)
def test_the_keepers_cgroup_is_its_own_or_the_daemons(found: Processes | None, grades: list[Grade]) -> None:
    assert [finding.grade for finding in processes.keeper_group(found)] == grades


@pytest.mark.parametrize(
    ("process", "grade", "said"),
    [
        (DAEMON, Grade.OK, "it may open 65536 (hard limit 65536), 20 are open"),
        (replace(DAEMON, files_soft=4096), Grade.OK, "it may open 4096"),
        (replace(DAEMON, files_soft=1024), Grade.WEAKER, "enough for about 256 sessions"),
        (replace(DAEMON, files_soft=1024, files_open=1000), Grade.WRONG, "1000 are open"),
        (replace(DAEMON, files_open=None, files_hard=None), Grade.OK, "it may open 65536"),
    ],
)
def test_open_files_are_plenty_few_or_used_up(process: Process, grade: Grade, said: str) -> None:
    (finding,) = processes.open_files(Processes(daemons=(process,)), 1, 1)

    assert (finding.check, finding.grade) == ("open files (daemon)", grade)
    assert said in finding.found


def test_where_processes_cannot_be_seen_the_daemon_speaks_for_itself() -> None:
    (finding,) = processes.open_files(None, 30, 256)

    assert finding.grade is Grade.WEAKER
    assert "it may open 256, 30 are open" in finding.found
    assert [*processes.open_files(None, None, None)] == []


@pytest.mark.parametrize(
    ("found", "grades"),
    [
        (Terminals(most=4096, used=10), [Grade.OK]),
        (Terminals(most=4096, used=4096 - processes.FEW_TERMINALS), [Grade.OK]),
        (Terminals(most=4096, used=4097 - processes.FEW_TERMINALS), [Grade.WEAKER]),
        (Terminals(most=4096, used=4097 - processes.LEAST_TERMINALS), [Grade.WRONG]),
        (Terminals(most=511), [Grade.OK]),
        (None, []),
    ],
)
def test_terminals_are_plenty_few_or_used_up(found: Terminals | None, grades: list[Grade]) -> None:
    assert [finding.grade for finding in processes.terminals(found)] == grades


@pytest.mark.parametrize(
    ("found", "grades", "said"),
    [
        (Groups(unified=True, controllers=("memory", "pids")), [Grade.OK], "may limit memory, pids"),
        (Groups(unified=True, controllers=("cpu", "pids")), [Grade.WEAKER], "may not limit memory"),
        (Groups(unified=True, controllers=()), [Grade.WEAKER], "may not limit memory and pids"),
        (Groups(unified=True), [Grade.WEAKER], "no group user@.service"),
        (Groups(unified=False), [Grade.WEAKER], "no unified cgroup tree"),
        (None, [], ""),
    ],
)
def test_limits_can_be_enforced_or_not(found: Groups | None, grades: list[Grade], said: str) -> None:
    findings = [*processes.groups(found)]

    assert [finding.grade for finding in findings] == grades
    assert all(said in finding.found for finding in findings)


def test_what_the_daemon_complains_of_is_told() -> None:
    findings = [*processes.troubles(replace(STATUS, problems=("a is a copy",), orphans=("r1", "r2")))]

    assert [finding.grade for finding in findings] == [Grade.WEAKER, Grade.WEAKER]
    assert findings[0].found == "a is a copy"
    assert "2 runs" in findings[1].found
    assert [*processes.troubles(STATUS)] == []
    assert [*processes.troubles(None)] == []
