"""All checks together."""

from msgspec.structs import replace

from claudectl.doctor.examination import examine
from claudectl.doctor.facts import Clock, Disk, Groups, Processes, Service
from claudectl.doctor.findings import Grade
from claudectl_protocol.diagnosis import ClaudeFacts, Diagnosis
from tests.claudectl.doctor.samples import ABSENT, FACTS

NAMES = [
    "daemon",
    "one daemon",
    "keeper",
    "keeper's code",
    "keeper's cgroup",
    "service",
    "keeper's service",
    "lingering",
    "socket directory",
    "Claude Code",
    "login",
    "config",
    "session files",
    "claudectl on PATH",
    "disk (state)",
    "open files (daemon)",
    "open files (keeper)",
    "terminals",
    "cgroup limits",
    "clock",
]


def test_on_a_machine_on_which_all_is_well_every_check_says_so() -> None:
    findings = examine(FACTS)

    assert [finding.check for finding in findings] == NAMES
    assert {finding.grade for finding in findings} == {Grade.OK}
    assert [finding for finding in findings if finding.fix] == []


def test_each_fact_has_a_say() -> None:
    spoilt = {
        "daemon": replace(FACTS, version="2.0"),
        "one daemon": replace(FACTS, lock_pid=7),
        "keeper": replace(FACTS, answer=ABSENT),
        "service": replace(FACTS, service=Service(manager="")),
        "lingering": replace(FACTS, lingering=False),
        "socket directory": replace(FACTS, uid=7),
        "installation": replace(FACTS, diagnosis=None, diagnosis_trouble="No module named claudectld"),
        "Claude Code": replace(FACTS, diagnosis=Diagnosis(claude=ClaudeFacts())),
        "config": replace(FACTS, config_changed_at=FACTS.clock.now),
        "disk (state)": replace(FACTS, disks=(Disk(name="state", path="/s", free_bytes=0),)),
        "terminals": replace(FACTS, terminals=None),
        "cgroup limits": replace(FACTS, groups=Groups(unified=False)),
        "clock": replace(FACTS, clock=Clock(now=0.0)),
        "open files (keeper)": replace(FACTS, processes=Processes()),
    }
    for check, facts in spoilt.items():
        now = [finding for finding in examine(facts) if finding.check == check]
        assert now != [finding for finding in examine(FACTS) if finding.check == check], check


def test_nothing_that_is_said_acts_on_a_terminal() -> None:
    evil = "\x1b]0;gone\x07\x1b[2J\u202e/tmp/x\n"
    place = replace(FACTS.places[0], path=evil)
    facts = replace(
        FACTS,
        places=(place,),
        diagnosis=None,
        diagnosis_trouble=evil,
        program=replace(FACTS.program, path=evil),
    )

    said = "".join(f"{finding.check}{finding.found}{finding.fix}" for finding in examine(facts))

    assert said.isprintable()
    assert "/tmp/x" in said
