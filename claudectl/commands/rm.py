"""`claudectl rm`: forget sessions and delete what was kept of them."""

import click

from claudectl.commands.options import all_projects_option, ids_argument, json_option, target_of
from claudectl.documents import TargetsDocument, json_text
from claudectl.exit_codes import ExitCode
from claudectl.failures import failure, tell
from claudectl.launch import Launcher
from claudectl_protocol.calls import Remove
from claudectl_protocol.faults import Rejected
from claudectl_protocol.text import plain


@click.command("rm")
@ids_argument
@click.option("--force", is_flag=True, help="Also a running session, which is stopped first.")
@all_projects_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, targets: tuple[str, ...], force: bool, all_projects: bool, as_json: bool
) -> int:
    """Forget sessions and delete their records; Claude's own transcripts stay.

    All are tried; the exit code is that of the first that failed.
    """
    calls = [Remove(target=target_of(text, all_projects=all_projects), force=force) for text in targets]
    with launcher.connect() as client:
        results = client.call_each(calls)
    removed = [
        text for text, result in zip(targets, results, strict=True) if not isinstance(result, Rejected)
    ]
    failures = [failure(result) for result in results if isinstance(result, Rejected)]
    if as_json:
        print(json_text(TargetsDocument(done=tuple(removed))))
    else:
        for text in removed:
            print(f"removed {plain(text)}")
    for told in failures:
        tell(told, as_json=as_json)
    return failures[0].code if failures else ExitCode.OK
