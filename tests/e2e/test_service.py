"""As services of a real service manager of the user: what ends or hangs, and what is left."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.services import CLAUDE_SCENE, SCENES, Serviced
from tests.e2e.user_manager import NOT_HERE
from tests.support import claude_code

ROOT = Path(__file__).parents[2]
WAIT_S = 300.0


def play(scene: str) -> None:
    """Have a scene played in namespaces of its own; skips where the machine does not allow that."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and namespaces")
    if shutil.which("systemd-run") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--kill-child", sys.executable, "-m", "tests.e2e.services", scene],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode == NOT_HERE or "unshare failed" in done.stderr:
        pytest.skip(f"the machine does not allow this: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.mark.privileged
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_service(scene: Callable[[Serviced], None]) -> None:
    play(scene.__name__)


@pytest.mark.claude
@pytest.mark.privileged
def test_with_the_manager_every_conversation_comes_back() -> None:
    claude_code.installed_or_skip()
    play(CLAUDE_SCENE.__name__)
