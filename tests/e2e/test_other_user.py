"""Other users, missing permissions, and disks that are full or read-only; each scene has its own mount namespace."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import scenes

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.privileged


def play(scene: scenes.Scene) -> None:
    """Play a scene, or skip it where the machine does not allow it."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and mount namespaces")
    argv = ["unshare", "-m", sys.executable, "-m", "tests.e2e.scenes", scene.__name__]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode == scenes.NOT_HERE or "unshare failed" in done.stderr:
        pytest.skip(f"the machine does not allow this: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("scene", scenes.DISKS, ids=lambda scene: scene.__name__)
def test_a_disk_in_the_way_costs_no_session(scene: scenes.Scene) -> None:
    play(scene)


def test_somebody_elses_connection_is_refused_by_who_they_are() -> None:
    play(scenes.another_user)


def test_what_an_ordinary_user_may_not_do_is_one_sentence_each() -> None:
    play(scenes.ordinary_user)
