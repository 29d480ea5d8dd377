"""Freeze this version's frames and directories: `python -m tests.golden.freeze`, once, when it is released.

A real daemon writes the directories, for a person who has one session of each kind, and is then killed with all that
runs, as by a power cut.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from claudectl_protocol import __version__
from tests.e2e.world import World, wait_gone
from tests.golden.versions import GOLDEN, HOME, sums, sums_path, visible
from tests.protocol.vectors import DIRECTORY as VECTORS
from tests.support.files import wait_for_file

CLAUDE = "#!/bin/sh\necho ready\nexec cat\n"
"""Stands where installers put Claude: what matters here is what is written about it."""


def install_claude(home: Path) -> None:
    """Put it where it is looked for."""
    program = home / ".local" / "bin" / "claude"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(CLAUDE)
    program.chmod(0o755)


def main() -> None:
    """Write, unless this version is frozen already."""
    frames = GOLDEN / "vectors" / __version__
    if not frames.exists():
        shutil.copytree(VECTORS, frames)
    stores = GOLDEN / "stores" / __version__
    if stores.exists():
        raise SystemExit(f"{__version__} is frozen already")
    home = Path(HOME)
    home.mkdir(mode=0o700)
    try:
        with World(home) as world:
            _live(world)
            _freeze(home, stores)
    finally:
        shutil.rmtree(home)
    sums_path(__version__).write_text(sums(__version__))
    print(f"froze {__version__}", file=sys.stderr)


def _live(world: World) -> None:
    """One session of each kind; then the machine is off."""
    install_claude(world.home)
    other = world.home / "other"
    other.mkdir()
    world.configure("[records]\nlimit_mib = 32\n")
    world.new("the first prompt", "-n", "conversation", "--", "--model", "opus")
    world.new("-n", "left", "--command", "--", "/bin/sh", "-c", "echo bye; exit 3")
    world.ctl("logs", "left", "-f")
    running = world.new("-n", "running", "--restore", "--command", "--", "/bin/cat", cwd=other)
    world.ctl("send", "running", "-g", "--keys", "hello<Enter>")
    record = world.state / "records" / str(running["id"]) / str(running["run"])
    wait_for_file(record, lambda: world.record(running).count(b"hello") == 2 or None)
    world.new("-n", "stopped", "--command", "--", "/bin/cat", cwd=other)
    world.ctl("stop", "stopped", cwd=other)
    world.new("-n", "nobodys", "--global", "--command", "--", "/bin/cat")
    world.ctl("rename", "nobodys", "nobody's", "-g")
    for pid in world.processes():
        os.kill(pid, signal.SIGKILL)
    wait_gone(world.processes())


def _freeze(home: Path, target: Path) -> None:
    state = home / ".local" / "state" / "claudectl"
    # A keeper's code is made anew from any installation, and logs are for people.
    left_out = {path for name in ("keeper", "logs") for path in (state / name).rglob("*")}
    for part in (home / ".config" / "claudectl", state, home / "project", home / "other"):
        for path in sorted(part.rglob("*")):
            if path.is_file() and path not in left_out:
                frozen = target.joinpath(*map(visible, path.relative_to(home).parts))
                frozen.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, frozen)


if __name__ == "__main__":
    main()
