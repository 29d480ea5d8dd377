"""`claudectl config`."""

import json
from pathlib import Path

import pytest

from tests.claudectl.conftest import Claudectl


@pytest.fixture
def path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    (directory / "config" / "claudectl").mkdir(parents=True)
    return directory / "config" / "claudectl" / "claudectld.toml"


def test_path_is_where_the_daemon_reads(claudectl: Claudectl, path: Path) -> None:
    assert claudectl("config", "path") == (0, f"{path}\n", "")
    assert json.loads(claudectl("config", "path", "--json").out) == {
        "schema": 1,
        "path": str(path),
        "exists": False,
    }


def test_show_lists_every_setting_that_holds(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[records]\nlimit_mib = 8\n")

    lines = claudectl("config", "show").out.splitlines()

    assert 'claude.program = ""' in lines
    assert "records.limit_mib = 8" in lines
    assert "daemon.sync_s = 10.0" in lines


def test_show_says_where_each_is_from(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[records]\nlimit_mib = 8\n")

    lines = claudectl("config", "show", "--origin").out.splitlines()
    document = json.loads(claudectl("config", "show", "--json").out)

    origins = {line.split(" = ")[0]: line.partition("  # ")[2] for line in lines}
    assert origins["records.limit_mib"] == f"{path}:2"
    assert origins["daemon.sync_s"] == "default"
    found = {one["key"]: one for one in document["settings"]}
    assert found["records.limit_mib"] == {
        "key": "records.limit_mib",
        "value": 8,
        "default": 64,
        "origin": "file",
        "line": 2,
    }
    assert found["daemon.sync_s"]["line"] is None


def test_show_tells_that_a_bad_file_is_not_used(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[records]\nlimit_mib = 8\nodd = 1\n")

    shown = claudectl("config", "show", "--origin")

    assert f"claudectl: {path} is not used; see 'claudectl config check'\n" == shown.err
    assert "records.limit_mib = 64" in shown.out
    assert str(path) not in shown.out


def test_check_of_a_good_file_is_quiet_success(claudectl: Claudectl, path: Path) -> None:
    assert claudectl("config", "check") == (0, f"{path} is not there; defaults hold\n", "")
    path.write_text("")
    assert claudectl("config", "check") == (0, f"{path} is valid\n", "")


def test_check_says_line_and_column_and_fails(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[records]\nlimt_mib = 8\n")
    assert claudectl("config", "check") == (
        1,
        f"{path}:2: there is no setting 'records.limt_mib'; did you mean 'records.limit_mib'?\n",
        "",
    )
    path.write_text("[records]\nlimit_mib = \n")
    checked = claudectl("config", "check", "--json")
    assert checked.code == 1
    (problem,) = json.loads(checked.out)["problems"]
    assert (problem["line"], problem["column"]) == (2, 13)


def test_set_writes_and_says_how_it_comes_into_force(claudectl: Claudectl, path: Path) -> None:
    done = claudectl("config", "set", "records.limit_mib", "8")

    assert done == (
        0,
        f"records.limit_mib = 8 in {path}; 'claudectl daemon restart' applies it (sessions go on)\n",
        "",
    )
    assert path.read_text() == "[records]\nlimit_mib = 8\n"
    document = json.loads(claudectl("config", "set", "claude.program", "/x", "--json").out)
    assert document["settings"][0]["value"] == "/x"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("records.limit", "8"), 2, "did you mean 'records.limit_mib'?"),
        (("records.limit_mib", "x"), 2, "is wrong: expected `int`"),
    ],
)
def test_set_refuses_in_one_sentence_and_changes_nothing(
    claudectl: Claudectl, path: Path, words: tuple[str, str], code: int, said: str
) -> None:
    path.write_text("[records]\n")

    refused = claudectl("config", "set", *words)

    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert path.read_text() == "[records]\n"


def test_set_refuses_to_edit_what_is_not_toml(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[records\n")

    refused = claudectl("config", "set", "records.limit_mib", "8")

    assert refused.code == 4
    assert "it is not TOML" in refused.err


def test_set_tells_that_something_else_is_wrong_still(claudectl: Claudectl, path: Path) -> None:
    path.write_text("[odd]\n")

    done = claudectl("config", "set", "records.limit_mib", "8")

    assert done.code == 0
    assert "see 'claudectl config check'" in done.err
