"""Installations of claudectl as people have them: wheels of this and of earlier sources, each in a place of its own.

Nothing is fetched: an installation finds the libraries that the tests themselves use.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (
    "claudectl",
    "claudectld",
    "protocol",
    "systemd",
    "launchd",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
_INSTALL_S = 120.0


class NoHistory(Exception):
    """The repository does not have the commit: a shallow clone, or no clone at all."""


class Wheels:
    """Wheels made from sources, each built once.

    Args:
        directory: where they are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of_commit(self, commit: str) -> Path:
        """The wheel of an earlier state of the repository. Raises NoHistory."""
        return self._built(commit, lambda source: _check_out(commit, source))

    def of_present(self, version: str, *, protocol: tuple[int, int] | None = None) -> Path:
        """The wheel of the present source under another version, and perhaps another version of the protocol."""

        def copy(source: Path) -> None:
            for name in SOURCES:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / name)
            package = source / "protocol" / "claudectl_protocol"
            _change(package / "__init__.py", "__version__ = ", f'__version__ = "{version}"')
            if protocol is not None:
                _change(package / "framing.py", "VERSION = ", f"VERSION = {protocol}")

        return self._built(f"{version}-{protocol}", copy)

    def _built(self, name: str, fill: Callable[[Path], None]) -> Path:
        target = self._directory / name
        if not target.exists():
            source = self._directory / f"{name}.source"
            source.mkdir(parents=True)
            fill(source)
            _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source))
            shutil.rmtree(source)
        (wheel,) = target.glob("*.whl")
        return wheel


class Installation:
    """A virtual environment with one wheel in it."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        self.directory = directory
        self.wheel = wheel
        venv.EnvBuilder(symlinks=True).create(directory)
        self._python = directory / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = directory / "lib" / version / "site-packages"
        (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        _pip("--python", str(self._python), "install", "--no-deps", str(wheel))

    @property
    def claudectl(self) -> Path:
        """The command."""
        return self.directory / "bin" / "claudectl"

    def delete(self) -> None:
        """Remove all of it, whoever runs from there."""
        shutil.rmtree(self.directory)


def _check_out(commit: str, target: Path) -> None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "archive", "--format=tar", commit], capture_output=True, check=False
        )
    except OSError as error:
        raise NoHistory(f"git: {error.strerror}") from error
    if done.returncode:
        raise NoHistory(done.stderr.decode().strip())
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")


def _change(path: Path, beginning: str, line: str) -> None:
    lines = path.read_text().splitlines()
    (number,) = (at for at, old in enumerate(lines) if old.startswith(beginning))
    lines[number] = line
    path.write_text("\n".join(lines) + "\n")


def _pip(*arguments: str) -> None:
    quiet = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments],
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
