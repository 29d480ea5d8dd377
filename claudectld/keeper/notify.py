"""Telling the service manager that started a process how it is (sd_notify)."""

import os
import socket
from collections.abc import MutableMapping

VARIABLE = "NOTIFY_SOCKET"
_PATIENCE_S = 1.0
"""A manager that hangs must not make us hang."""


def take_address(environment: MutableMapping[str, str]) -> str:
    """Where the service manager listens, '' for none; no child of ours is told."""
    return environment.pop(VARIABLE, "")


def notify(address: str, *words: str) -> None:
    """Send `words` (READY=1, STATUS=…) to the service manager at `address` ('@' begins an abstract one)."""
    if address[:1] not in ("/", "@"):
        return
    # Of each word one line, whatever it says.
    lines = "\n".join(word.replace("\n", " ") for word in words)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE_S)
            path = os.fsencode(address)
            sock.sendto(lines.encode("utf-8", "replace"), b"\0" + path[1:] if path[:1] == b"@" else path)
    except OSError:
        pass  # the manager has gone; whoever it started may go on
