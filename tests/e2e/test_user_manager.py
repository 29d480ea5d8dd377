"""Under a real service manager of the user, what ends the daemon's cgroup ends no session."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.user_manager import NOT_HERE

ROOT = Path(__file__).parents[2]


@pytest.mark.privileged
def test_a_keeper_that_the_daemon_starts_is_in_a_scope_of_its_own() -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and namespaces")
    if shutil.which("systemd-run") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--kill-child", sys.executable, "-m", "tests.e2e.user_manager"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == NOT_HERE or "unshare failed" in done.stderr:
        pytest.skip(f"the machine does not allow this: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
