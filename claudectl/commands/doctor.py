"""`claudectl doctor`: what is wrong or weaker on this machine, and the fix for each."""

import os
import sys

import click

from claudectl.commands.options import json_option
from claudectl.documents import json_text
from claudectl.exit_codes import ExitCode
from claudectl.launch import Launcher


@click.command("doctor")
@json_option
@click.pass_obj
def command(launcher: Launcher, as_json: bool) -> ExitCode:
    """Check this machine: daemon, service, Claude Code, files, limits. Changes nothing, starts no daemon.

    Exits with 1 if something is wrong; what is only weaker does not count.
    """
    # Only an examination itself needs what it looks with; no other verb, and no completion, waits for that.
    from claudectl.doctor.examination import examine
    from claudectl.doctor.findings import Grade
    from claudectl.doctor.inquiry import service_manager
    from claudectl.doctor.report import FindingsDocument, report
    from claudectl.doctor.witness import Witness

    manager = service_manager(os.environ, os.geteuid())
    findings = examine(Witness(launcher, os.environ, manager).facts())
    if as_json:
        print(json_text(FindingsDocument(findings=findings)))
    else:
        is_tty = sys.stdout.isatty()
        colour = is_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        sys.stdout.write(report(findings, colour=colour, ascii_only=not _shows_symbols()))
    return ExitCode.FAILED if any(found.grade is Grade.WRONG for found in findings) else ExitCode.OK


def _shows_symbols() -> bool:
    try:
        "✓✗".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
