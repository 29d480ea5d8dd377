"""The services that `claudectl daemon install` makes of the daemon and the keeper, and which state directory an
installed one is for. Both sides look here: the client starts the daemon by its service, the daemon the keeper.

Standard library only, and cheap to import.
"""

import os

from claudectl_protocol.endpoint import config_directory, home_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DAEMON_UNIT = "claudectld.service"
KEEPER_UNIT = "claudectl-keeper.service"
STATE_KEY = "X-Claudectl-State"
"""In a unit file, what the service manager does not read: the state directory."""
SOCKET_KEY = "X-Claudectl-Socket"
"""Likewise the daemon's socket, where it is not at its usual place."""


def unit_directories(env: "Mapping[str, str]", uid: int) -> tuple[str, ...]:
    """Where a user's own systemd units may lie. Raises endpoint.NoHome.

    The second is for a manager that was started without the XDG_CONFIG_HOME that a shell sets.
    """
    chosen = os.path.dirname(config_directory(env, uid))
    usual = os.path.join(home_directory(env, uid), ".config")
    return tuple(dict.fromkeys(os.path.join(root, "systemd", "user") for root in (chosen, usual)))


def unit_value(path: str, key: str) -> str | None:
    """What a unit file says under one of the keys above; None when there is no such file, or it is not ours."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.startswith(f"{key}="):
                    return line.partition("=")[2].rstrip("\n")
    except OSError:
        pass  # as good as none: it is not to be used
    return None


def installed_unit(name: str, state_dir: str, env: "Mapping[str, str]", uid: int) -> str | None:
    """The unit file `name` that is for `state_dir`, if there is one. Raises endpoint.NoHome."""
    for directory in unit_directories(env, uid):
        path = os.path.join(directory, name)
        state = unit_value(path, STATE_KEY)
        if state is not None and os.path.realpath(state) == os.path.realpath(state_dir):
            return path
    return None


def run_directory(env: "Mapping[str, str]", uid: int) -> str:
    """Where the user's service manager listens. Cron and services of the system do not set XDG_RUNTIME_DIR, though
    the user's manager may run."""
    return env.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
