"""`claudectl config`: what is set in claudectld.toml, whether it makes sense, and setting one thing."""

import json
import os
import sys

import click

from claudectl import settings_file
from claudectl.commands.options import json_option
from claudectl.documents import (
    ConfigCheckDocument,
    ConfigDocument,
    ConfigPathDocument,
    SettingInfo,
    SettingProblem,
    json_text,
)
from claudectl.exit_codes import ExitCode
from claudectl_protocol.endpoint import config_directory
from claudectl_protocol.settings import FILE, keys
from claudectl_protocol.text import plain

APPLY = "'claudectl daemon restart' applies it (sessions go on)"


@click.group("config")
def command() -> None:
    """The configuration file, claudectld.toml."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Say for each whether it is from the file or a default.")
@json_option
def show(origin: bool, as_json: bool) -> None:
    """Show every setting with the value that holds."""
    path = _path()
    reading = settings_file.read(path)
    settings = []
    for key in keys():
        # A file with a problem is not used at all.
        from_file = key.dotted in reading.given and not reading.problems
        settings.append(
            SettingInfo(
                key=key.dotted,
                value=key.value(reading.config),
                default=key.default,
                origin="file" if from_file else "default",
                line=reading.given[key.dotted] if from_file else None,
            )
        )
    if as_json:
        print(json_text(ConfigDocument(path=path, settings=tuple(settings))))
        return
    if reading.problems:
        print(f"claudectl: {plain(path)} is not used; see 'claudectl config check'", file=sys.stderr)
    lines = [f"{setting.key} = {json.dumps(setting.value, ensure_ascii=False)}" for setting in settings]
    width = max(map(len, lines))
    for setting, line in zip(settings, lines, strict=True):
        print(plain(f"{line:<{width}}  # {_origin(setting, path)}" if origin else line))


@command.command("check")
@json_option
def check(as_json: bool) -> ExitCode:
    """Say what is wrong with the file, and where; exits with 1 if anything is."""
    path = _path()
    problems = settings_file.read(path).problems
    if as_json:
        found = tuple(SettingProblem(why=one.why, line=one.line, column=one.column) for one in problems)
        print(json_text(ConfigCheckDocument(path=path, problems=found)))
    else:
        for problem in problems:
            place = ":".join(str(part) for part in (path, problem.line, problem.column) if part is not None)
            print(plain(f"{place}: {problem.why}"))
        if not problems:
            print(
                plain(f"{path} is valid" if os.path.exists(path) else f"{path} is not there; defaults hold")
            )
    return ExitCode.FAILED if problems else ExitCode.OK


@command.command("path")
@json_option
def path(as_json: bool) -> None:
    """Print where the file is, or would be."""
    found = _path()
    print(json_text(ConfigPathDocument(path=found, exists=os.path.exists(found))) if as_json else found)


@command.command("set")
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@json_option
def set_(key: str, value: str, as_json: bool) -> None:
    """Set one thing in the file, such as records.limit_mib; comments stay."""
    wanted = settings_file.key(key)
    setting = settings_file.value_of(value, wanted)
    path = _path()
    settings_file.write(path, wanted, setting)
    reading = settings_file.read(path)
    if reading.problems:
        others = f"{plain(path)} is not used as long as something else in it is wrong; see 'claudectl config check'"
        print(f"claudectl: {others}", file=sys.stderr)
    if as_json:
        info = SettingInfo(
            key=wanted.dotted,
            value=setting,
            default=wanted.default,
            origin="file",
            line=reading.given.get(wanted.dotted),
        )
        print(json_text(ConfigDocument(path=path, settings=(info,))))
    else:
        shown = json.dumps(setting, ensure_ascii=False)
        print(plain(f"{wanted.dotted} = {shown} in {path}; {APPLY}"))


def _path() -> str:
    return os.path.join(config_directory(os.environ, os.geteuid()), FILE)


def _origin(setting: SettingInfo, path: str) -> str:
    if setting.origin == "default":
        return "default"
    return path if setting.line is None else f"{path}:{setting.line}"
