"""What people may set, and where everything lies. Read once at start; a bad file never keeps the daemon away."""

import os
import tomllib
from collections.abc import Mapping
from typing import Annotated

import msgspec

from claudectl_protocol import endpoint
from claudectl_protocol.sessions import Value

MIB = 1024 * 1024


class ClaudeSection(Value, forbid_unknown_fields=True):
    """`[claude]`: where the program is, if it is not to be looked for."""

    program: str = ""


class RecordsSection(Value, forbid_unknown_fields=True):
    """`[records]`: how much of each run's output is kept."""

    limit_mib: Annotated[int, msgspec.Meta(ge=1)] = 64


class DaemonSection(Value, forbid_unknown_fields=True):
    """`[daemon]`: its rhythm."""

    sync_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


class Config(Value, forbid_unknown_fields=True):
    """claudectld.toml, with defaults for all that it leaves out."""

    claude: ClaudeSection = ClaudeSection()
    records: RecordsSection = RecordsSection()
    daemon: DaemonSection = DaemonSection()


class Places(Value):
    """Directories and sockets, all absolute."""

    home: str
    config: str
    state: str
    socket: str
    keeper_socket: str

    def socket_paths(self) -> tuple[str, ...]:
        """Where clients look for the daemon now: the place it was given, and the usual one, which changes when a
        login creates the run directory or a logout takes it away."""
        usual = endpoint.socket_directory(os.geteuid(), self.state)
        return tuple(dict.fromkeys((self.socket, os.path.join(usual, endpoint.DAEMON_SOCKET))))

    @property
    def records(self) -> str:
        """Where the keeper writes what terminals print."""
        return os.path.join(self.state, "records")

    @property
    def log(self) -> str:
        """The daemon's own log."""
        return os.path.join(self.state, "logs", "claudectld.log")


def places(env: Mapping[str, str], uid: int, socket: str | None = None) -> Places:
    """Where everything lies for this environment. Raises EndpointUnsafe or OSError for an impossible place."""
    state = endpoint.state_directory(env, uid)
    path = socket or endpoint.socket_path(env, uid, state)
    return Places(
        home=endpoint.home_directory(env, uid),
        config=endpoint.config_directory(env, uid),
        state=state,
        socket=path,
        keeper_socket=os.path.join(os.path.dirname(path), endpoint.KEEPER_SOCKET),
    )


def read(directory: str) -> tuple[Config, str]:
    """The config in `directory`, and a sentence about what was wrong with it ('' when nothing was)."""
    path = os.path.join(directory, "claudectld.toml")
    try:
        with open(path, "rb") as file:
            return msgspec.convert(tomllib.load(file), Config), ""
    except FileNotFoundError:
        return Config(), ""
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        return Config(), f"{path} is not used: {error}"
