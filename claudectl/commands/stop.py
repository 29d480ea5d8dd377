"""`claudectl stop`: end sessions and everything they started."""

import click

from claudectl.commands.options import (
    all_projects_option,
    force_option,
    grace_option,
    ids_argument,
    json_option,
    target_of,
)
from claudectl.documents import SessionsDocument, json_text
from claudectl.exit_codes import ExitCode
from claudectl.failures import failure, tell
from claudectl.launch import Launcher
from claudectl.reports import session_line
from claudectl_protocol.calls import Stop
from claudectl_protocol.faults import Rejected


@click.command("stop")
@ids_argument
@force_option
@grace_option
@all_projects_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher,
    targets: tuple[str, ...],
    force: bool,
    grace_s: float,
    all_projects: bool,
    as_json: bool,
) -> int:
    """End sessions; they stay listed with 'ls -a' and can be restarted.

    All are tried; the exit code is that of the first that failed.
    """
    calls = [
        Stop(target=target_of(text, all_projects=all_projects), force=force, grace_s=grace_s)
        for text in targets
    ]
    with launcher.connect() as client:
        results = client.call_each(calls)
    failures = [failure(result) for result in results if isinstance(result, Rejected)]
    sessions = tuple(result for result in results if not isinstance(result, Rejected))
    if as_json:
        print(json_text(SessionsDocument(sessions=sessions)))
    else:
        for session in sessions:
            print(f"stopped {session_line(session)}")
    for told in failures:
        tell(told, as_json=as_json)
    return failures[0].code if failures else ExitCode.OK
