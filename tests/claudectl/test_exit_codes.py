"""Which fault ends a command with which code."""

import pytest

from claudectl.exit_codes import ExitCode, exit_code
from tests.claudectl.samples import FAULTS, FaultSample


def test_the_numbers_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "REFUSED": 4,
        "NEEDS_INPUT": 5,
        "TIMED_OUT": 6,
        "PROGRAM_NOT_FOUND": 7,
        "SPAWN_FAILED": 8,
        "UNREACHABLE": 69,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
        "PIPE_CLOSED": 141,
    }


@pytest.mark.parametrize("sample", FAULTS, ids=lambda sample: type(sample.fault).__name__)
def test_each_fault_has_its_code(sample: FaultSample) -> None:
    assert exit_code(sample.fault) == sample.code
