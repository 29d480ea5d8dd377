"""What the doctor says: one finding per check."""

from enum import StrEnum

from claudectl_protocol.sessions import Value


class Grade(StrEnum):
    """How a finding is."""

    OK = "ok"
    WEAKER = "weaker"
    """It works, with less than it could."""
    WRONG = "wrong"


class Finding(Value):
    """What a check found, and what to do about it: a command, or a sentence where there is none."""

    check: str
    grade: Grade
    found: str
    fix: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check=check, grade=Grade.OK, found=found)


def weaker(check: str, found: str, fix: str = "") -> Finding:
    """It works, with less than it could."""
    return Finding(check=check, grade=Grade.WEAKER, found=found, fix=fix)


def wrong(check: str, found: str, fix: str = "") -> Finding:
    """It must be mended."""
    return Finding(check=check, grade=Grade.WRONG, found=found, fix=fix)
