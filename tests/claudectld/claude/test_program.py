import os
import subprocess
from pathlib import Path

import pytest

from claudectl_protocol.faults import ClaudeCodeNotFound, ProgramNotFound, Rejected
from claudectld.claude import program


def executable(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_claude_is_found_in_the_callers_path_in_its_order(tmp_path: Path) -> None:
    first = executable(tmp_path / "a" / "claude")
    executable(tmp_path / "b" / "claude")
    env = {"PATH": f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b", "HOME": str(tmp_path)}
    assert program.find_claude(env) == first


def test_a_configured_claude_wins_over_the_path(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "claude")
    configured = executable(tmp_path / "mine")
    assert program.find_claude({"PATH": f"{tmp_path}/bin"}, configured) == configured


def test_a_configured_claude_that_is_missing_is_not_replaced_by_another(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "claude")
    missing = str(tmp_path / "missing")
    with pytest.raises(Rejected) as refusal:
        program.find_claude({"PATH": f"{tmp_path}/bin"}, missing)
    assert refusal.value.fault == ClaudeCodeNotFound(searched=(missing,))


@pytest.mark.parametrize(
    "place",
    [
        ".local/bin/claude",
        ".claude/local/claude",
        ".npm-global/bin/claude",
        ".bun/bin/claude",
        ".nvm/versions/node/v22.1.0/bin/claude",
    ],
)
def test_claude_is_found_below_home_without_a_useful_path(tmp_path: Path, place: str) -> None:
    installed = executable(tmp_path / place)
    assert program.find_claude({"PATH": "/nonexistent", "HOME": str(tmp_path)}) == installed


def test_of_several_node_versions_the_newest_has_claude(tmp_path: Path) -> None:
    for version in ("v9.0.0", "v22.3.0", "v20.11.1"):
        executable(tmp_path / ".nvm/versions/node" / version / "bin/claude")
    found = program.find_claude({"PATH": "/nonexistent", "HOME": str(tmp_path)})
    assert found == str(tmp_path / ".nvm/versions/node/v22.3.0/bin/claude")


def test_the_npm_prefix_of_the_caller_is_searched(tmp_path: Path) -> None:
    installed = executable(tmp_path / "prefix/bin/claude")
    assert program.find_claude({"PATH": "", "NPM_CONFIG_PREFIX": str(tmp_path / "prefix")}) == installed


def test_claude_in_a_relative_path_entry_is_never_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "claude")
    executable(tmp_path / "bin/claude")
    real = executable(tmp_path / "real/claude")
    monkeypatch.chdir(tmp_path)
    assert program.find_claude({"PATH": f":.:bin:{tmp_path}/real"}) == real


def test_a_directory_or_a_plain_file_called_claude_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "claude").mkdir(parents=True)
    executable(tmp_path / "b" / "claude", 0o644)
    real = executable(tmp_path / "c" / "claude")
    assert program.find_claude({"PATH": f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/c"}) == real


def test_claude_missing_everywhere_names_each_place_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "isfile", lambda _: False)
    with pytest.raises(Rejected) as refusal:
        program.find_claude({"PATH": f".:{tmp_path}:{tmp_path}:/usr/bin", "HOME": str(tmp_path)})
    fault = refusal.value.fault
    assert isinstance(fault, ClaudeCodeNotFound)
    assert fault.searched[0] == f"{tmp_path}/claude"
    assert f"{tmp_path}/.local/bin/claude" in fault.searched
    assert len(set(fault.searched)) == len(fault.searched)


def test_a_program_is_found_as_a_shell_would_find_it(tmp_path: Path) -> None:
    named = executable(tmp_path / "bin" / "job")
    relative = executable(tmp_path / "tools" / "job")
    env = {"PATH": f"{tmp_path}/bin"}
    assert program.find_program("job", env, str(tmp_path)) == named
    assert program.find_program("./tools/job", env, str(tmp_path)) == relative
    assert program.find_program(named, {}, "/") == named
    assert program.find_program("job", {"PATH": "tools"}, str(tmp_path)) == relative


def test_a_program_that_does_not_exist_is_refused_with_the_places(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refusal:
        program.find_program("no-such-program", {"PATH": f"{tmp_path}:/usr/bin"}, "/")
    places = (f"{tmp_path}/no-such-program", "/usr/bin/no-such-program")
    assert refusal.value.fault == ProgramNotFound(program="no-such-program", searched=places)


def test_a_program_that_may_not_be_executed_says_so(tmp_path: Path) -> None:
    plain = executable(tmp_path / "notes", 0o644)
    with pytest.raises(Rejected) as refusal:
        program.find_program("./notes", {}, str(tmp_path))
    fault = refusal.value.fault
    assert isinstance(fault, ProgramNotFound)
    assert not fault.executable
    assert os.path.normpath(fault.searched[0]) == plain


def test_an_empty_program_name_is_refused() -> None:
    with pytest.raises(Rejected) as refusal:
        program.find_program("", {"PATH": "/usr/bin"}, "/")
    assert refusal.value.fault == ProgramNotFound(program="", searched=())


NPX = """#!/bin/sh
# Like npx: says where it has put the program, and what it was asked.
echo "$@" > "{asked}"
cat > "{typed}"
echo "{claude}"
"""
CLAUDE = '#!/bin/sh\nprintf "%s\\n" $$ "$@"\n'


def test_claude_that_is_installed_is_run_itself_whatever_was_agreed_to(tmp_path: Path) -> None:
    installed = executable(tmp_path / "bin" / "claude")
    executable(tmp_path / "bin" / "npx")

    assert program.claude_command({"PATH": f"{tmp_path}/bin"}, via_npx=True) == (installed,)


def test_npx_is_never_used_without_agreement(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "npx")

    with pytest.raises(Rejected) as refusal:
        program.claude_command({"PATH": f"{tmp_path}/bin"}, str(tmp_path / "none"))

    assert refusal.value.fault == ClaudeCodeNotFound(searched=(str(tmp_path / "none"),))


def test_without_npx_everything_that_was_tried_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"PATH": str(tmp_path)}
    # A machine may have one where it is always looked for.
    monkeypatch.setattr("claudectld.claude.program._ABSOLUTE", ())
    with pytest.raises(Rejected) as refusal:
        program.claude_command(env, str(tmp_path / "none"), via_npx=True)
    assert isinstance(refusal.value.fault, ClaudeCodeNotFound)
    assert refusal.value.fault.searched[:2] == (str(tmp_path / "none"), str(tmp_path / "npx"))


def test_through_npx_the_process_becomes_claude_with_its_own_arguments_and_input(tmp_path: Path) -> None:
    claude = tmp_path / "cache" / "claude"
    executable(claude)
    claude.write_text(f"{CLAUDE}cat\n")
    npx = tmp_path / "bin" / "npx"
    executable(npx)
    npx.write_text(NPX.format(asked=tmp_path / "asked", typed=tmp_path / "typed", claude=claude))
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}

    words = program.claude_command(env, str(tmp_path / "none"), via_npx=True)
    process = subprocess.Popen(
        [*words, "--session-id", "a b", "--", "$(x)"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate("typed early", timeout=20)

    assert out.splitlines() == [str(process.pid), "--session-id", "a b", "--", "$(x)", "typed early"]
    assert (tmp_path / "asked").read_text() == (
        "-y --package=@anthropic-ai/claude-code -c command -v claude\n"
    )
    assert (tmp_path / "typed").read_text() == ""


def test_an_npx_that_fails_ends_the_session_with_its_code(tmp_path: Path) -> None:
    npx = tmp_path / "bin" / "npx"
    executable(npx)
    npx.write_text("#!/bin/sh\necho no network >&2; exit 9\n")
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}

    words = program.claude_command(env, str(tmp_path / "none"), via_npx=True)
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=20)

    assert (done.returncode, done.stdout, done.stderr) == (9, "", "no network\n")
