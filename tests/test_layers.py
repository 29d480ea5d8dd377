"""Who may import whom, with the reason: checked on the syntax of every file, not on what happens to run."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "claudectl", ROOT / "claudectld", ROOT / "protocol" / "claudectl_protocol")
PLANNED = frozenset({"prompt_toolkit"})
"""Libraries whose rule is here before their first use, so that they cannot spread unseen."""
NAMES_WITHOUT_A_NOUN = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"})


class Rule(NamedTuple):
    """`importer` (a module and everything below it) does not import any of `forbidden`, because of `why`."""

    importer: str
    forbidden: tuple[str, ...]
    why: str
    except_in: tuple[str, ...] = ()
    """Modules below `importer` that may."""
    except_for: tuple[str, ...] = ()
    """Modules below one of `forbidden` that may be imported."""


RULES = (
    Rule("claudectl", ("claudectld",), "what is shown must not depend on how it is made true"),
    Rule("claudectld", ("claudectl",), "the daemon has no opinion on how anything is shown"),
    Rule("claudectl_protocol", ("claudectl", "claudectld"), "the contract belongs to neither side"),
    Rule(
        "claudectl_protocol",
        ("socket", "_socket", "select", "asyncio", "anyio", "subprocess", "threading", "time", "pathlib"),
        "what is said is bytes and values; whoever owns the socket and the clock is elsewhere",
    ),
    Rule(
        "claudectl_protocol",
        ("os", "stat", "pwd", "hashlib"),
        "only the endpoint, and the services that lead to it, are about files",
        except_in=("claudectl_protocol.endpoint", "claudectl_protocol.services"),
    ),
    Rule(
        "claudectld.core",
        (
            "os",
            "socket",
            "select",
            "time",
            "anyio",
            "asyncio",
            "pathlib",
            "subprocess",
            "threading",
            "signal",
        ),
        "the core decides and the shell acts: stimuli in, effects out",
    ),
    Rule(
        "claudectld.core",
        ("claudectld",),
        "the core is called by the shell and calls nobody",
        except_for=("claudectld.core",),
    ),
    Rule(
        "claudectld.keeper",
        ("claudectld.keeper.client", "claudectld.keeper.link", "claudectld.keeper.start"),
        "the keeper's process loads nothing of the daemon's side",
        except_in=("claudectld.keeper.client", "claudectld.keeper.link", "claudectld.keeper.start"),
    ),
    Rule(
        "claudectl",
        ("asyncio", "anyio", "psutil"),
        "a verb must start in the time of a bare interpreter; only the full-screen interface has a loop",
        except_in=("claudectl.tui",),
    ),
    Rule(
        "claudectl",
        ("prompt_toolkit",),
        "it costs more than all the rest of a verb",
        except_in=("claudectl.tui",),
    ),
    Rule("claudectld", ("prompt_toolkit",), "the daemon draws nothing"),
    Rule(
        "claudectl",
        ("tomlkit",),
        "it takes 29 ms, and only who changes a file that people write has to keep their comments",
        except_in=("claudectl.settings_file",),
    ),
    Rule("claudectld", ("tomlkit",), "the daemon only reads what people set"),
    Rule(
        "claudectld",
        ("click",),
        "the daemon must start quickly and has few options",
        except_in=("claudectld.cli",),
    ),
    Rule(
        "claudectld",
        ("pyghostty",),
        "the emulator's interface is young: it is known in one place",
        except_in=("claudectld.screen",),
    ),
)

KEEPER = "claudectld.keeper"
DAEMON_SIDE = ("claudectld.keeper.client", "claudectld.keeper.link", "claudectld.keeper.start")
"""Modules of the keeper's package that run in the daemon."""


class Import(NamedTuple):
    """One imported name, where."""

    importer: str
    imported: str
    line: int


def within(module: str, *prefixes: str) -> bool:
    """True when `module` is one of `prefixes` or lies below one."""
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def module_name(path: Path) -> str:
    """The dotted name of a file below PACKAGES."""
    root = next(package.parent for package in PACKAGES if package in path.parents)
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in a source, wherever it stands; `from a import b` counts as `a.b`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                yield Import(module, f"{origin}.{alias.name}", node.lineno)


def breaches(rule: Rule, imports: list[Import]) -> list[str]:
    """The imports that a rule forbids, as sentences."""
    return [
        f"{found.importer}:{found.line} imports {found.imported}: {rule.why}"
        for found in imports
        if within(found.importer, rule.importer)
        and not within(found.importer, *rule.except_in)
        and within(found.imported, *rule.forbidden)
        and not within(found.imported, *rule.except_for)
    ]


FILES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
MODULES = frozenset(module_name(path) for path in FILES)
IMPORTS = [
    found
    for path in FILES
    for found in imports_of(module_name(path), path.read_text(), is_package=path.name == "__init__.py")
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.importer}-{rule.forbidden[0]}")
def test_imports_go_in_one_direction(rule: Rule) -> None:
    assert breaches(rule, IMPORTS) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.importer}-{rule.forbidden[0]}")
def test_rule_is_about_modules_that_exist(rule: Rule) -> None:
    assert [name for name in (rule.importer, *rule.except_for) if name not in MODULES] == []
    assert [name for name in rule.forbidden if not exists(name)] == []


def exists(name: str) -> bool:
    """True for a module of ours, of the standard library, or of a library that is installed or planned."""
    if name in MODULES or name in sys.stdlib_module_names or name in PLANNED:
        return True
    return "." not in name and importlib.util.find_spec(name) is not None


def test_keepers_process_needs_the_standard_library_and_itself_only() -> None:
    strangers = [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in IMPORTS
        if within(found.importer, KEEPER)
        and not within(found.importer, *DAEMON_SIDE)
        and not within(found.imported, KEEPER, *sys.stdlib_module_names)
    ]
    assert strangers == []


def test_keepers_process_imports_its_own_modules_relatively() -> None:
    # It runs from a copy, where the package has no parent.
    absolute = [
        f"{path.name}:{node.lineno}"
        for path in FILES
        if within(module_name(path), KEEPER) and not within(module_name(path), *DAEMON_SIDE)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", "claudectld"))
        or (isinstance(node, ast.Import) and any(within(alias.name, "claudectld") for alias in node.names))
    ]
    assert absolute == []


def test_modules_of_the_daemons_side_exist() -> None:
    assert set(DAEMON_SIDE) <= MODULES


def test_every_module_is_named_for_an_idea() -> None:
    everything = [*FILES, *(ROOT / "tests").rglob("*.py")]
    parts = {part for path in everything for part in path.relative_to(ROOT).with_suffix("").parts}
    assert parts & NAMES_WITHOUT_A_NOUN == set()


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import a.b", ["a.b"]),
        ("import a, b as c", ["a", "b"]),
        ("from a import b, c", ["a.b", "a.c"]),
        ("from . import b", ["claudectld.core.b"]),
        ("from .b import c", ["claudectld.core.b.c"]),
        ("from .. import keeper", ["claudectld.keeper"]),
        ("from ..keeper.link import x", ["claudectld.keeper.link.x"]),
        ("def f():\n    import os", ["os"]),
        ("if TYPE_CHECKING:\n    from os import path", ["os.path"]),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, imported: list[str]) -> None:
    assert [found.imported for found in imports_of("claudectld.core.registry", source)] == imported


def test_breach_is_found_and_an_exception_is_none() -> None:
    rule = Rule("claudectl", ("anyio",), "why", except_in=("claudectl.tui",))
    found = [
        Import("claudectl.cli", "anyio.to_thread", 3),
        Import("claudectl.tui.app", "anyio", 1),
        Import("claudectl.cli", "anyiox", 4),
        Import("claudectld.server", "anyio", 1),
    ]
    assert breaches(rule, found) == ["claudectl.cli:3 imports anyio.to_thread: why"]
