"""Which version of Claude Code a program is: asked in an environment in which it can do nothing else."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping

from claudectl_protocol.sessions import RunId, SessionId
from claudectl_protocol.text import plain
from claudectld.claude.environment import environment

TIMEOUT_S = 10.0
_VERSION = re.compile(r"\s*(\d+\.\d+\.\d+\S*)")
_CHARACTERS = 200


class NoVersion(Exception):
    """The program did not say its version; the message completes 'it …'."""


def version_of(program: str, client: Mapping[str, str]) -> str:
    """The version that `program` says it is. Blocking, for as long as the program takes.

    Args:
        client: the environment of whoever asks; what a session would not get, this does not get either.

    Raises:
        NoVersion: it cannot be run, says none, or says nothing within TIMEOUT_S.
    """
    env = environment(client, session=SessionId(""), run=RunId(""), claude=True)
    # It belongs to no session, and asking is no reason to download anything.
    env = {name: value for name, value in env.items() if not name.startswith("CLAUDECTL_")}
    env["DISABLE_AUTOUPDATER"] = "1"
    try:
        process = subprocess.Popen(
            [program, "--version"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NoVersion(f"cannot be run: {error}") from error
    with process:
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            # All of it: a child that keeps our pipe would keep us.
            os.killpg(process.pid, signal.SIGKILL)
            raise NoVersion(f"said nothing for {TIMEOUT_S:g} s") from error
    said = _VERSION.match(out.decode("utf-8", "replace"))
    if process.returncode or said is None:
        raise NoVersion(f"left with {process.returncode} and said '{_first_line(err or out)}'")
    return plain(said[1], _CHARACTERS)


def _first_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return plain(lines[0], _CHARACTERS) if lines else ""
