"""A person's world whose `claudectl` is an installed one, and not always the same."""

from collections.abc import Mapping

from tests.e2e.scripts import numbers_in
from tests.e2e.world import World
from tests.support.files import wait_for_file
from tests.support.installation import Installation


class InstalledWorld(World):
    """A world in which commands come from `installation`, which may be changed at any moment."""

    def __init__(self, installation: Installation) -> None:
        super().__init__()
        self.installation = installation

    def argv(self, *args: str) -> list[str]:
        """How `claudectl` is run."""
        return [str(self.installation.claudectl), *args]

    def until_printed(self, session: Mapping[str, object], number: int) -> None:
        """Wait until a session has printed the line of this number. Raises TimeoutError."""
        record = self.state / "records" / str(session["id"]) / str(session["run"])
        wait_for_file(record, lambda: numbers_in(self.record(session))[0][-1] >= number or None)
