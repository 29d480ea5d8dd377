"""protocol/README.md is enough: a client that was made from it, without a line of ours, works with a real daemon."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.world import DEADLINE_S, World

CLIENT = Path(__file__).parent / "foreign_client.py"


def test_a_client_of_sixty_lines_lists_starts_attaches_and_reads() -> None:
    with World() as world:
        world.start()
        # Isolated and without site-packages: what it imports cannot be ours.
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CLIENT), world.socket, str(world.project)],
            env=world.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        shown = world.shown("foreign")
        world.end()

    assert done.stderr == ""
    before, started, *output, end = done.stdout.splitlines()
    assert before == "before: []"
    assert started == "started: foreign active"
    assert all(re.match("output: b['\"]", line) for line in output)
    assert "got hello" in "".join(output)
    assert re.match(r"end: \{'t': 'end', 'reason': 'exited', 'exit': \{.*'code': 5\b", end)
    assert shown["lifecycle"] == "stopped"


def test_it_is_short_and_imports_the_standard_library_only() -> None:
    source = CLIENT.read_text()
    imported = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    ]

    assert sum(bool(line.strip()) for line in source.splitlines()) <= 60
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(ast.parse(source)))
    assert set(imported) <= sys.stdlib_module_names
