"""Files that earlier claudectls have left, where this one looks, and what should become of them."""

import os
from pathlib import Path

from claudectld.core.session import Session
from claudectld.ports import Stored
from tests.claudectld.stores.places import Places

GOLDEN = Path(__file__).parents[2] / "golden" / "data-0"
RUNNING = "running"
STOPPED = "stopped"

EXPECTED: dict[str, dict[str, list[tuple[str, str]]]] = {
    "lists": {
        "shop": [("checkout", RUNNING), ("checkout-2", STOPPED)],
        "blog": [("drafts", STOPPED)],
        "": [("loose", RUNNING)],
    },
    "nested": {
        "shop": [("one", RUNNING), ("two", STOPPED), ("three", STOPPED)],
        "blog": [("four", RUNNING)],
    },
    "objects": {
        "shop": [("by id", RUNNING), ("by name", STOPPED)],
        "blog": [("by path", STOPPED)],
    },
    "spellings": {
        "shop": [("camel-case", RUNNING)],
        "blog": [("claude deadbeef", STOPPED), ("claude 5555", STOPPED)],
    },
    "paths": {"shop": [("one", RUNNING)], "blog": [("two", STOPPED)]},
    "own": {"shop": [("mine", RUNNING)], "": [("nobodys", STOPPED)]},
    "strange": {"shop": [("known", RUNNING)], "": [("homeless", RUNNING)]},
}
"""Each file's sessions by project ("" for none), with what is wanted of them."""


def put(places: Places, name: str, *, missing: tuple[str, ...] = ()) -> bytes:
    """Have an earlier version's file where this one looks, and the projects that it speaks of but for some."""
    for project in {"shop", "blog"}.difference(missing):
        (places.root / project).mkdir()
    places.config.mkdir(parents=True)
    places.data.write_text((GOLDEN / f"{name}.json").read_text().replace("@HOME@", str(places.root)))
    return places.data.read_bytes()


def sessions(stored: Stored) -> dict[str, list[Session]]:
    """Sessions by the last part of their project's path."""
    found = {os.path.basename(one.path): list(one.sessions) for one in stored.projects if one.sessions}
    return {**found, **({"": list(stored.global_sessions)} if stored.global_sessions else {})}


def wanted(stored: Stored) -> dict[str, list[tuple[str, str]]]:
    """The same, as names and what is wanted."""
    return {
        project: [(one.name, one.wanted.value) for one in some] for project, some in sessions(stored).items()
    }


def copies(places: Places) -> list[bytes]:
    """What is kept of earlier files."""
    return [path.read_bytes() for path in sorted(places.config.glob("data.json.older-*"))]
