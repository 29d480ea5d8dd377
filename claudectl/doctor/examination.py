"""All checks in the order they are told. Pure: facts in, findings out."""

from collections.abc import Iterator

from claudectl.doctor import claude, places, processes, services
from claudectl.doctor.facts import Facts
from claudectl.doctor.findings import Finding, wrong
from claudectl_protocol.text import plain


def examine(facts: Facts) -> tuple[Finding, ...]:
    """What the facts mean. The text is free of control characters, wherever a path or a message came from."""
    return tuple(
        Finding(check=plain(found.check), grade=found.grade, found=plain(found.found), fix=plain(found.fix))
        for found in _all(facts)
    )


def _all(facts: Facts) -> Iterator[Finding]:
    said = facts.diagnosis
    status = facts.answer.status
    keepers = facts.processes.keepers if facts.processes is not None else ()
    yield processes.daemon(facts.answer, facts.version, facts.lock_pid, facts.socket)
    yield from processes.only_daemon(facts.answer, facts.processes, facts.lock_pid)
    yield from processes.keeper(facts.answer, facts.processes, said.keeper_code if said is not None else "")
    yield from processes.keeper_group(facts.processes)
    yield services.service(facts.service, facts.answer)
    yield from services.keeper_service(facts.service, keepers[0].pid if len(keepers) == 1 else None)
    yield from services.lingering(facts.service, facts.lingering)
    yield from places.places(facts.places, facts.uid)
    if said is None:
        fix = "install claudectl again"
        yield wrong("installation", f"the daemon's program cannot be run: {facts.diagnosis_trouble}", fix)
    else:
        yield claude.claude(said.claude)
        yield from claude.login(said.claude)
        yield claude.config(said, facts.config_path, facts.config_changed_at, facts.answer)
        yield from claude.store(said)
    yield from processes.troubles(status)
    yield places.program(facts.program)
    yield from places.disks(facts.disks)
    yield from processes.open_files(
        facts.processes,
        said.files_open if said is not None else None,
        said.files_soft if said is not None else None,
    )
    yield from processes.terminals(facts.terminals)
    yield from processes.groups(facts.groups)
    yield places.clock(facts.clock)
