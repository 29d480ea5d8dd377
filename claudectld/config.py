"""What people have set, and where everything lies. Read once at start; a bad file never keeps the daemon away."""

import os
import tomllib
from collections.abc import Mapping

import msgspec

from claudectl_protocol import endpoint
from claudectl_protocol.sessions import Value
from claudectl_protocol.settings import FILE, Config

MIB = 1024 * 1024


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
    path = os.path.join(directory, FILE)
    try:
        with open(path, "rb") as file:
            return msgspec.convert(tomllib.load(file), Config), ""
    except FileNotFoundError:
        return Config(), ""
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        return Config(), f"{path} is not used: {error}"
