from collections.abc import Iterator

import pytest

from tests.support import claude_code
from tests.support.messages_api import MessagesApi


@pytest.fixture(scope="session")
def claude() -> str:
    """The real CLI's program."""
    return str(claude_code.installed_or_skip())


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    """A Messages API of the test's own."""
    with MessagesApi() as api:
        yield api


@pytest.fixture
def home() -> Iterator[claude_code.Home]:
    """A home that Claude starts in without a question."""
    with claude_code.home() as home:
        yield home
