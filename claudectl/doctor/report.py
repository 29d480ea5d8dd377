"""How findings are told: a line each for people, one document for scripts."""

from collections.abc import Sequence

from claudectl.doctor.findings import Finding, Grade
from claudectl.documents import Document

_SYMBOLS = {Grade.OK: "✓", Grade.WEAKER: "!", Grade.WRONG: "✗"}
_ASCII = {Grade.OK: "+", Grade.WEAKER: "!", Grade.WRONG: "x"}
_COLOURS = {Grade.OK: "32", Grade.WEAKER: "33", Grade.WRONG: "31"}
_GRADE_COLUMNS = max(len(grade.value) for grade in Grade)


class FindingsDocument(Document, frozen=True, kw_only=True):
    """Everything that was checked."""

    findings: tuple[Finding, ...]


def report(findings: Sequence[Finding], *, colour: bool, ascii_only: bool) -> str:
    """One line per finding, and one that counts them."""
    symbols = _ASCII if ascii_only else _SYMBOLS
    width = max((len(finding.check) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark = f"{symbols[finding.grade]} {finding.grade.value:<{_GRADE_COLUMNS}}"
        if colour:
            mark = f"\x1b[{_COLOURS[finding.grade]}m{mark}\x1b[m"
        fix = f"; fix: {finding.fix}" if finding.fix else ""
        lines.append(f"{mark}  {finding.check:<{width}}  {finding.found}{fix}\n")
    return "".join(lines) + _summary(findings)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {grade: sum(finding.grade is grade for finding in findings) for grade in Grade}
    if counts[Grade.OK] == len(findings):
        return "all is well\n"
    return f"{counts[Grade.WRONG]} wrong, {counts[Grade.WEAKER]} weaker, {counts[Grade.OK]} ok\n"
