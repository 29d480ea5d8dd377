"""The copy of its own modules that the keeper runs from: replacing the installation then hurts nobody."""

import hashlib
import os
import shutil
import sys
import tempfile

MODULES = (
    "__init__",
    "connection",
    "crash",
    "endpoint",
    "handover",
    "input",
    "log",
    "loop",
    "main",
    "notify",
    "processes",
    "record",
    "requests",
    "run",
    "runs",
    "server",
    "spawn",
    "upgrade",
    "wire",
)
"""What the keeper's process consists of."""

_ENTRY = b'''"""Runs the keeper beside this file."""

from keeper.main import main

raise SystemExit(main())
'''


def install(state: str) -> str:
    """Put a copy under `state` unless it is there already. Returns the directory for `python -I -S -B` to run.

    Raises:
        OSError: the copy cannot be read or written.
    """
    files = _files()
    home = os.path.join(state, "keeper")
    for directory in (state, home):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    target = os.path.join(home, _digest(files))
    if _is_whole(target, files):
        return target
    made = tempfile.mkdtemp(prefix=".new-", dir=home)
    try:
        _write(made, files)
        _replace(made, target)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        if not _is_whole(target, files):
            raise
    return target


def digest() -> str:
    """The name of the copy that `install` would make. Raises OSError."""
    return _digest(_files())


def _digest(files: dict[str, bytes]) -> str:
    summed = hashlib.sha256()
    for name, content in files.items():
        summed.update(f"{name}\0{len(content)}\0".encode())
        summed.update(content)
    return summed.hexdigest()[:16]


def interpreter() -> str:
    """What to run the copy with: the base interpreter by its real path, which no virtual environment takes along."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _files() -> dict[str, bytes]:
    files = {"__main__.py": _ENTRY}
    for module in MODULES:
        with open(os.path.join(os.path.dirname(__file__), f"{module}.py"), "rb") as file:
            files[os.path.join("keeper", f"{module}.py")] = file.read()
    return files


def _is_whole(directory: str, files: dict[str, bytes]) -> bool:
    for name, content in files.items():
        try:
            with open(os.path.join(directory, name), "rb") as file:
                if file.read() != content:
                    return False
        except OSError:
            return False
    return True


def _write(directory: str, files: dict[str, bytes]) -> None:
    os.mkdir(os.path.join(directory, "keeper"), mode=0o700)
    for name, content in files.items():
        fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _replace(made: str, target: str) -> None:
    """Put `made` at `target`; a damaged copy there (a power cut) goes."""
    if os.path.exists(target):
        damaged = tempfile.mkdtemp(prefix=".old-", dir=os.path.dirname(target))
        os.rename(target, damaged)
        os.rename(made, target)
        shutil.rmtree(damaged)
    else:
        os.rename(made, target)
