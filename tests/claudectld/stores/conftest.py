"""Places and values that the tests of the stores share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudectld.stores.sessions import FileSessionStore
from tests.claudectld.stores.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A configuration and a state directory of one's own, and a project directory."""
    made = Places(tmp_path.resolve())
    made.project.mkdir()
    return made


@pytest.fixture
def store(places: Places) -> FileSessionStore:
    """The store of those places."""
    return places.store()


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
