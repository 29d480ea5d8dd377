"""The service manager that started the daemon: it is told when the daemon serves, how it is, that it lives, that it
leaves (sd_notify). Where there is none, nothing is said.
"""

import os
from collections.abc import Callable, MutableMapping

import anyio

from claudectld.keeper.notify import notify, take_address

STATUS_S = 10.0
"""How often the state is looked at where no watchdog sets the pace."""


class Notifier:
    """Says everything to one service manager.

    Args:
        address: of its socket; '' for none.
        watchdog_s: after so long without a word it kills and replaces the daemon; None when it does not.
    """

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        self._address = address
        self._pace_s = STATUS_S if watchdog_s is None else watchdog_s / 2
        self._alive = () if watchdog_s is None else ("WATCHDOG=1",)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> "Notifier":
        """The one that this process's environment names; children will find no trace of it."""
        address = take_address(environment)
        limit_us = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "")
        if limit_us.isdigit() and int(limit_us) and watched in ("", str(os.getpid())):
            return cls(address, int(limit_us) / 1e6)
        return cls(address)

    def ready(self) -> None:
        """Calls are answered (or by another daemon, and this one is not needed)."""
        notify(self._address, "READY=1")

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        notify(self._address, f"STATUS={sentence}")

    def leaving(self) -> None:
        """The daemon is about to end."""
        notify(self._address, "STOPPING=1", "STATUS=leaving")

    async def keep_telling(self, state: Callable[[], str]) -> None:
        """Tell for ever, from the caller's loop: that it still turns is what the watchdog wants to know."""
        if not self._address:
            return
        while True:
            notify(self._address, *self._alive, f"STATUS={state()}")
            await anyio.sleep(self._pace_s)
