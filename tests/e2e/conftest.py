"""Worlds for end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.e2e.claude_world import ClaudeWorld
from tests.e2e.world import World
from tests.support import claude_code
from tests.support.messages_api import MessagesApi


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
