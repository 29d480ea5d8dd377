"""The stores on disks that refuse."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.claudectld.stores.disks import REFUSED, SCENES
from tests.claudectld.stores.places import environment

pytestmark = pytest.mark.privileged


@pytest.fixture
def root() -> Iterator[Path]:
    """A place that other users can reach, unlike tmp_path."""
    made = Path(tempfile.mkdtemp(prefix="cc-", dir="/tmp")).resolve()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("scene", SCENES)
def test_a_disk_that_refuses_costs_nothing_but_the_refused(root: Path, scene: str) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1)")
    if scene == "denied" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not allowed here")

    played = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.claudectld.stores.disks", str(root), scene],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )

    if played.returncode == REFUSED:
        pytest.skip(f"the machine does not allow it: {played.stderr.strip()}")
    assert played.returncode == 0, played.stderr
