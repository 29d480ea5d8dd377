"""`claudectl send`: type keys into a session's terminal."""

import sys
from uuid import uuid4

import click

from claudectl.commands.options import all_projects_option, id_argument, target_of
from claudectl.keys import parse_keys
from claudectl.launch import Launcher
from claudectl_protocol.calls import SendKeys
from claudectl_protocol.faults import InvalidArgument, Rejected

MAX_KEYS_BYTES = 960 * 1024
"""One batch is one frame of at most 1 MiB, in which the target and the directory need some room too."""


@click.command("send")
@id_argument
@click.argument("text", metavar="[TEXT]", required=False)
@click.option("--keys", metavar="KEYS", help="What to type; '-' reads the bytes from stdin as they are.")
@all_projects_option
@click.option(
    "--json", "as_json", is_flag=True, help="Tell errors as a JSON document; success prints nothing."
)
@click.pass_obj
def command(
    launcher: Launcher,
    target: str,
    text: str | None,
    keys: str | None,
    all_projects: bool,
    as_json: bool,  # noqa: ARG001 - read by the command line itself, before a command can fail
) -> None:
    r"""Type keys into a session's terminal, as one batch.

    KEYS is literal text, in which \r \n \t \e \xNN \\ \< are escapes, and names in angle brackets are
    keys: <C-c> <M-x> <Enter> <Esc> <Tab> <S-Tab> <Space> <Backspace> <Delete> <Up> <Down> <Left> <Right>
    <Home> <End> <PageUp> <PageDown> <F1> to <F12>. Nothing is added: end with <Enter> to submit.
    """
    if keys is None or text is not None:
        raise click.UsageError("plain text cannot be sent yet, only keys: use --keys 'TEXT<Enter>'")
    data = sys.stdin.buffer.read(MAX_KEYS_BYTES + 1) if keys == "-" else parse_keys(keys)
    if len(data) > MAX_KEYS_BYTES:
        why = f"is longer than {MAX_KEYS_BYTES} bytes; send it in pieces"
        raise Rejected(InvalidArgument(what="KEYS", why=why))
    where = target_of(target, all_projects=all_projects)
    launcher.call(SendKeys(target=where, data=data, key=str(uuid4())))
