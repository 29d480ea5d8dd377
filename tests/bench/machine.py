"""What a figure depends on besides the programs; nothing that names the machine or a place on it."""

import os
import platform
import shutil
import subprocess
from pathlib import Path


def facts() -> dict[str, str]:
    """The machine in a few words."""
    load = os.getloadavg()
    return {
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2**20} MiB",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "tmux": _tmux_version(),
        "load before": " ".join(f"{value:.2f}" for value in load),
    }


def pss_bytes(pid: int) -> int:
    """A process's share of the memory it uses."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the system does not say how much memory process {pid} uses")


def cpu_s(pid: int) -> float:
    """Seconds of processor time that all threads of a process have had, in nanoseconds' resolution."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _tmux_version() -> str:
    if shutil.which("tmux") is None:
        return "not installed"
    return subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=True).stdout.strip()
