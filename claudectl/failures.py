"""How a failed command ends: the exception becomes a sentence or a document on stderr, and an exit code."""

import sys
from typing import NamedTuple, assert_never

import click

from claudectl.documents import ErrorDocument, Trouble, json_text
from claudectl.exit_codes import ExitCode, exit_code
from claudectl.render import RESTART, explain, explain_mismatch
from claudectl.service.port import ServiceTrouble
from claudectl.transport import DaemonUnreachable
from claudectl_protocol.endpoint import NoHome
from claudectl_protocol.faults import AnyFault, Rejected
from claudectl_protocol.framing import RemoteProtocolError, VersionMismatch
from claudectl_protocol.text import plain

Expected = Rejected | DaemonUnreachable | RemoteProtocolError | NoHome | ServiceTrouble | click.ClickException
EXPECTED = (Rejected, DaemonUnreachable, RemoteProtocolError, NoHome, ServiceTrouble, click.ClickException)
"""What a command may raise; anything else is a defect and keeps its traceback."""


class Failure(NamedTuple):
    """What is told about an error and how the command exits."""

    error: AnyFault | Trouble
    sentence: str
    code: ExitCode


def failure(error: Expected) -> Failure:
    """The failure that an exception means."""
    match error:
        case Rejected(fault=fault):
            return Failure(fault, explain(fault), exit_code(fault))
        case DaemonUnreachable(why=why):
            return _trouble("daemon_unreachable", why, ExitCode.UNREACHABLE)
        case VersionMismatch():
            return _trouble("version_mismatch", explain_mismatch(error), ExitCode.INTERNAL)
        case RemoteProtocolError():
            why = f"the daemon does not keep to the protocol ({error}); replace it with {RESTART}"
            return _trouble("protocol", why, ExitCode.INTERNAL)
        case ServiceTrouble(why=why, code=code):
            return _trouble("service", why, code)
        case NoHome():
            return _trouble("usage", str(error), ExitCode.USAGE)
        case click.ClickException():
            context = error.ctx if isinstance(error, click.UsageError) else None
            path = "claudectl" if context is None else context.command_path
            why = f"{error.format_message().rstrip('.')}; see '{path} --help'"
            return _trouble("usage", why, ExitCode.USAGE)
        case _:
            assert_never(error)


def tell(told: Failure, *, as_json: bool) -> None:
    """Say on stderr what went wrong, for people or as a document."""
    text = f"claudectl: {told.sentence}"
    if as_json:
        text = json_text(ErrorDocument(error=told.error, message=told.sentence))
    print(text, file=sys.stderr, flush=True)


def _trouble(kind: str, why: str, code: ExitCode) -> Failure:
    sentence = plain(why)
    return Failure(Trouble(t=kind, why=sentence), sentence, code)
