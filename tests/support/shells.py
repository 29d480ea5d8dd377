"""Shells to try completion in: the machine's own, else Debian's, unpacked into the tests' cache, installed nowhere."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.support.claude_code import Unavailable, cache_directory

_PACKAGES = {
    # The static zsh: the other one looks for its modules in the system's directory, whatever its environment says.
    "zsh": ("zsh-static", "zsh-common"),
    "fish": ("fish", "fish-common"),
}
_PROGRAMS = {"zsh": Path("bin/zsh-static"), "fish": Path("usr/bin/fish")}
_ALWAYS_THERE = "libc6"
_FETCH_S = 300.0


class Shell(msgspec.Struct, frozen=True):
    """A shell's program, and the variables that it needs besides those of a person."""

    program: str
    environment: Mapping[str, str]


def shell(name: str) -> Shell:
    """A shell by its name, unpacked first if neither the machine nor the cache has it; safe to call from several
    processes.

    Raises:
        Unavailable: it is not installed, and could not be fetched and made to run.
    """
    own = shutil.which(name)
    if own is not None:
        return Shell(own, {})
    if name not in _PACKAGES:
        raise Unavailable(f"{name} is not installed")
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    whole = cache / f"shell-{name}"
    with (cache / f"shell-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            # What an earlier process left half-made under this name goes; the right name is only given to what runs.
            part = cache / f"shell-{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            _unpack(name, part)
            part.rename(whole)
    return _found(name, whole)


def shell_or_skip(name: str) -> Shell:
    """As `shell`; without it the test is skipped, or fails where CI=1 says that nothing may miss."""
    try:
        return shell(name)
    except Unavailable as why:
        if os.environ.get("CI") == "1":
            pytest.fail(str(why))
        pytest.skip(str(why))


def _found(name: str, root: Path) -> Shell:
    if name == "zsh":
        functions = (root / "usr/share/zsh/functions").rglob("*/")
        environment = {"FPATH": ":".join(sorted(str(path) for path in functions if path.is_dir()))}
    else:
        libraries = {str(path.parent) for path in root.glob("**/lib*.so*")}
        environment = {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    return Shell(str(root / _PROGRAMS[name]), environment)


def _unpack(name: str, root: Path) -> None:
    packages = root / "packages"
    packages.mkdir(parents=True)
    _fetch(_PACKAGES[name], packages, root)
    if name == "fish":
        # It takes the data beside its program only if its settings are there as well, which Debian keeps elsewhere.
        (root / "usr/etc").symlink_to("../etc")
    if _missing_libraries(_found(name, root)):
        _fetch(_needed_libraries(packages), packages, root)
    made = _found(name, root)
    missing = _missing_libraries(made)
    if missing:
        raise Unavailable(f"{name} needs {', '.join(missing)}, which its packages do not bring")
    _run((made.program, "--version"), root, made.environment)
    shutil.rmtree(packages)
    shutil.rmtree(root / "apt", ignore_errors=True)


def _fetch(names: Sequence[str], packages: Path, root: Path) -> None:
    before = set(packages.iterdir())
    download = ("download", *names)
    try:
        _apt_get(download, packages)
    except Unavailable:
        # The machine's lists may be missing or too old, and only root may renew them: these are our own.
        for directory in ("lists/partial", "archives/partial"):
            (root / "apt" / directory).mkdir(parents=True, exist_ok=True)
        ours = (f"Dir::State::Lists={root}/apt/lists", f"Dir::Cache={root}/apt")
        _apt_get(("update",), packages, ours)
        _apt_get(download, packages, ours)
    for package in set(packages.iterdir()) - before:
        _run(("dpkg-deb", "-x", str(package), str(root)), root)


def _apt_get(words: Sequence[str], directory: Path, settings: Sequence[str] = ()) -> None:
    # Root's apt-get would fetch as a user who may not enter a home's cache.
    options = [word for setting in ("APT::Sandbox::User=root", *settings) for word in ("-o", setting)]
    _run(("apt-get", "-q", *options, *words), directory)


def _needed_libraries(packages: Path) -> tuple[str, ...]:
    found = set()
    for package in packages.iterdir():
        depends = _run(("dpkg-deb", "-f", str(package), "Depends"), packages)
        found |= set(re.findall(r"(?:^|, )(lib[a-z0-9.+-]+)", depends))
    return tuple(sorted(found - {_ALWAYS_THERE}))


def _missing_libraries(made: Shell) -> tuple[str, ...]:
    """Names of libraries that the system's loader does not find for the program."""
    done = subprocess.run(
        ("ldd", made.program),
        env={"PATH": os.environ["PATH"], **made.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    # A static program is an error to ldd, and misses nothing.
    return tuple(re.findall(r"(\S+) => not found", done.stdout))


def _run(argv: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints. Raises Unavailable when it is missing or fails."""
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{error.filename} is not installed, and neither is the shell") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{argv[0]} did not end within {_FETCH_S:g} s") from error
    if done.returncode != 0:
        raise Unavailable(f"{argv[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
