"""Which sort of screen a daemon gives its runs, and what becomes of checkpoints that the other sort has made."""

import sys

import pytest

from claudectl_protocol.sessions import Size
from claudectl_protocol.settings import ScreenKind
from claudectld import emulation
from claudectld.ports import Screen
from claudectld.screen.library import EmulatorError
from claudectld.screens import local_screens

SIZE = Size(cols=80, rows=24)


def has_cells(screen: Screen | None) -> bool:
    return screen is not None and screen.cells is not None


def test_an_emulator_is_the_first_choice_and_knows_its_cells() -> None:
    screens = local_screens(ScreenKind.GHOSTTY)

    assert has_cells(screens.fresh(SIZE))
    assert screens.log(SIZE) is not None


def test_none_is_used_where_none_is_wanted() -> None:
    screens = local_screens(ScreenKind.RAW)

    assert not has_cells(screens.fresh(SIZE))
    assert screens.log(SIZE) is None


def test_where_it_cannot_be_loaded_screens_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "claudectld.emulation", None)

    assert not has_cells(local_screens(ScreenKind.GHOSTTY).fresh(SIZE))


def test_where_one_cannot_be_made_that_run_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EmulatorError("out of memory")

    screens = local_screens(ScreenKind.GHOSTTY)
    monkeypatch.setattr(emulation, "GhosttyScreen", fail)

    assert not has_cells(screens.fresh(SIZE))


@pytest.mark.parametrize("before", ScreenKind)
@pytest.mark.parametrize("now", ScreenKind)
def test_a_checkpoint_of_the_other_sort_is_not_used(before: ScreenKind, now: ScreenKind) -> None:
    first = local_screens(before).fresh(SIZE)
    first.feed(b"hello", live=False)

    restored = local_screens(now).restored(first.checkpoint())

    assert (restored is not None) == (before is now)
    assert restored is None or b"hello" in restored.repaint()
