"""Acts that nobody waits for: each has a parent, and its failure is logged and takes nothing else along."""

import logging
from collections.abc import Awaitable, Callable

import anyio.abc

from claudectl_protocol.faults import Rejected

log = logging.getLogger(__name__)


class Background:
    """A task group for acts that may fail one by one."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks

    def go(self, act: Callable[..., Awaitable[object]], *args: object) -> None:
        """Begin an act."""
        self._tasks.start_soon(self._guarded, act, args)

    async def _guarded(self, act: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        try:
            await act(*args)
        except Rejected as error:
            log.warning("event=refused act=%s fault=%r", act.__qualname__, error.fault)
        except Exception:  # the edge of a background act: one session's defect must not end the others
            log.exception("event=defect act=%s args=%r", act.__qualname__, args)
