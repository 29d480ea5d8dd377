"""Worlds for end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.world import World
from tests.support import claude_code
from tests.support.installation import Installation, NoHistory, Wheels
from tests.support.messages_api import MessagesApi

EARLIER = "e3bae631c5732eea538b483ae1f4030a35446d1e"
"""The first state of the repository that had all parts."""


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh world; at the end the product itself has to be able to leave nothing behind."""
    with World() as made:
        yield made
        made.end()


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    """What Claude takes for the service."""
    with MessagesApi() as made:
        yield made


@pytest.fixture
def claude_world(api: MessagesApi) -> Iterator[ClaudeWorld]:
    """A fresh world with the real Claude Code in it; it ends as `world` does."""
    program = claude_code.installed_or_skip()
    with claude_code.home() as home, ClaudeWorld(program, home, api) as made:
        yield made
        made.end()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Wheels, built once."""
    return Wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def earlier(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """What people had before."""
    try:
        return Installation(tmp_path_factory.mktemp("earlier"), wheels.of_commit(EARLIER))
    except NoHistory as why:
        pytest.skip(f"no wheel of an earlier commit: {why}")


@pytest.fixture(scope="session")
def present(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """What they have now, under a version of its own."""
    return Installation(tmp_path_factory.mktemp("present"), wheels.of_present("0.2.0.dev1"))


@pytest.fixture(scope="session")
def later(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A version whose protocol is another."""
    wheel = wheels.of_present("9.0.0", protocol=(2, 0))
    return Installation(tmp_path_factory.mktemp("later"), wheel)
