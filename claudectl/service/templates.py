"""The unit files and property lists of systemd/ and launchd/, found and filled in."""

import os
import plistlib
from collections.abc import Mapping
from typing import cast

from claudectl.service.port import ServiceTrouble, Setup

PList = dict[str, "str | bool | int | list[str] | PList"]
"""A property list, as far as ours go."""


def unit_text(name: str, setup: Setup) -> str:
    """A systemd unit. Raises ServiceTrouble when something in `setup` cannot be written into one."""
    filled = {
        "@STATE@": _line(setup.state),
        "@SOCKET@": _line(setup.environment.get("CLAUDECTL_SOCKET", "")),
        "@PYTHON@": _word(setup.python),
        "@ENVIRONMENT@": "\n".join(
            f"Environment={_word(f'{variable}={value}')}" for variable, value in setup.environment.items()
        ),
    }
    with open(_path("systemd", name), encoding="utf-8") as file:
        text = file.read()
    for placeholder, value in filled.items():
        text = text.replace(placeholder, value)
    return text


def agent_data(name: str, setup: Setup, environment: Mapping[str, str]) -> bytes:
    """A launchd agent's property list; `environment` is what it is given."""
    with open(_path("launchd", name), "rb") as file:
        agent = cast(PList, plistlib.load(file))
    arguments = cast("list[str]", agent["ProgramArguments"])
    agent["ProgramArguments"] = [setup.python if word == "@PYTHON@" else word for word in arguments]
    agent["EnvironmentVariables"] = dict(environment)
    for key in ("StandardOutPath", "StandardErrorPath"):
        agent[key] = str(agent[key]).replace("@STATE@", setup.state)
    return plistlib.dumps(agent)


def _path(directory: str, name: str) -> str:
    """Where a template is: beside this file in an installation, at the top of the repository in a checkout."""
    here = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(here, "files", directory, name)
    return installed if os.path.exists(installed) else os.path.join(here, "..", "..", directory, name)


def _line(text: str) -> str:
    """A whole value as it stands; the service manager does not read it."""
    if not text.isprintable() or text.endswith("\\"):
        raise ServiceTrouble(
            f"{text!r} cannot stand in a unit file; move it to a path of ordinary characters"
        )
    return text


def _word(text: str) -> str:
    """One word, quoted for a unit file."""
    escaped = _line(text).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
