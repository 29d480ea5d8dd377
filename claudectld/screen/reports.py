"""Finds the program status reports (OSC 7501) in a run's output; what they mean is not known here."""

import re

from claudectld.screen.candidates import unfinished

REPORT_LIMIT_BYTES = 16 * 1024
"""A longer report is not looked at."""

_REPORT = re.compile(rb"\x1b\]7501;([^\x07\x18\x1a\x1b]{0,%d})(?:\x07|\x1b\\)" % REPORT_LIMIT_BYTES)
_UNFINISHED = re.compile(
    rb"\x1b(?:\](?:7(?:5(?:0(?:1(?:;[^\x07\x18\x1a\x1b]{0,%d}\x1b?)?)?)?)?)?)?\Z" % REPORT_LIMIT_BYTES
)


class StatusReports:
    """Bytes in, the bodies of whole reports out; an unfinished report is held back."""

    def __init__(self, pending: bytes = b"") -> None:
        self.pending = pending
        """The unfinished report."""

    def feed(self, data: bytes) -> list[bytes]:
        """What stands after `7501;` in the reports that `data` completes."""
        buffer = self.pending + data
        self.pending = buffer[unfinished(_UNFINISHED, buffer) :]
        return _REPORT.findall(buffer)
