"""A home for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.claudectld.keeper.harness import Home, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    """A state directory and socket of their own; no keeper serves yet."""
    with new_home() as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    """The daemon runs on asyncio."""
    return "asyncio"
