"""Each fault's sentence, and that nothing in a fault reaches the terminal as more than text."""

from typing import get_args

import msgspec
import pytest

from claudectl.render import explain, explain_mismatch
from claudectl_protocol.faults import AnyFault, Candidate
from claudectl_protocol.framing import VersionMismatch
from claudectl_protocol.text import plain
from tests.claudectl.samples import API, FAULTS, FaultSample

HOSTILE = "x\x1b]0;owned\x07\x1b[2Jy\r\n\u202ez\x9b31m\x1b]8;;"
"""Shows as `xy z`; the command at its end is never finished."""


@pytest.mark.parametrize("sample", FAULTS, ids=lambda sample: type(sample.fault).__name__)
def test_each_fault_has_its_sentence(sample: FaultSample) -> None:
    assert explain(sample.fault) == sample.sentence


def test_there_is_a_sample_of_every_fault() -> None:
    assert {type(sample.fault) for sample in FAULTS} == set(get_args(AnyFault))


def ended(fault: AnyFault, ending: str) -> AnyFault:
    """The same fault with `ending` behind every text in it."""

    def changed(value: object) -> object:
        match value:
            case str():
                return value + ending
            case tuple():
                return tuple(map(changed, value))
            case Candidate(name=name):
                return Candidate(id=API, name=name + ending, project="/p" + ending)
            case _:
                return value

    fields = {name: changed(getattr(fault, name)) for name in fault.__struct_fields__}
    return msgspec.structs.replace(fault, **fields)


@pytest.mark.parametrize("sample", FAULTS, ids=lambda sample: type(sample.fault).__name__)
def test_hostile_text_in_a_fault_is_cleaned_and_swallows_none_of_our_words(sample: FaultSample) -> None:
    assert explain(ended(sample.fault, HOSTILE)) == explain(ended(sample.fault, "xy z"))
    assert plain(explain(ended(sample.fault, HOSTILE))).isprintable()


def test_an_older_daemon_is_to_be_replaced() -> None:
    assert explain_mismatch(VersionMismatch((2, 0), (1, 3))) == (
        "the daemon is older than this claudectl (the client speaks protocol 2.0, the daemon 1.3); "
        "replace it with 'claudectl daemon restart' (sessions go on)"
    )


def test_an_older_client_is_to_be_upgraded() -> None:
    assert explain_mismatch(VersionMismatch((1, 3), (2, 0))) == (
        "this claudectl is older than the daemon (the client speaks protocol 1.3, the daemon 2.0); "
        "run the newer claudectl, or upgrade this one"
    )
