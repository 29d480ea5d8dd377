"""Which directory is the project of a directory."""

import os
from pathlib import Path

import pytest

from claudectld.project import nearest_git, project_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "home" / "user"
    made.mkdir(parents=True)
    return made


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_a_plain_directory_is_its_own_project(home: Path) -> None:
    work = _directory(home / "work")

    assert project_of(str(work), str(home)) == str(work)


def test_the_git_top_level_is_the_project_of_what_is_below(home: Path) -> None:
    top = _directory(home / "repo")
    _directory(top / ".git")
    below = _directory(top / "src" / "deep")

    assert project_of(str(below), str(home)) == str(top)
    assert project_of(str(top), str(home)) == str(top)


def test_a_git_file_marks_a_work_tree(home: Path) -> None:
    tree = _directory(home / "tree")
    (tree / ".git").write_text("gitdir: /elsewhere\n")
    below = _directory(tree / "src")

    assert project_of(str(below), str(home)) == str(tree)


def test_the_nearest_mark_wins_over_the_git_top_level(home: Path) -> None:
    top = _directory(home / "repo")
    _directory(top / ".git")
    _directory(top / ".claudectl")
    inner = _directory(top / "part")
    _directory(inner / ".claudectl")
    below = _directory(inner / "src")

    assert project_of(str(below), str(home)) == str(inner)


def test_the_search_does_not_leave_the_repository(home: Path) -> None:
    _directory(home / "work" / ".claudectl")
    top = _directory(home / "work" / "repo")
    _directory(top / ".git")
    below = _directory(top / "src")

    assert project_of(str(below), str(home)) == str(top)


def test_without_git_the_mark_is_searched_up_to_home(home: Path) -> None:
    work = _directory(home / "work")
    _directory(work / ".claudectl")
    below = _directory(work / "a" / "b")

    assert project_of(str(below), str(home)) == str(work)


def test_marks_at_and_above_home_do_not_count(home: Path) -> None:
    _directory(home / ".claudectl")
    _directory(home.parent / ".claudectl")
    below = _directory(home / "a" / "b")

    assert project_of(str(below), str(home)) == str(below)


def test_a_home_that_is_a_repository_is_no_project(home: Path) -> None:
    _directory(home / ".git")
    below = _directory(home / "a" / "b")

    assert project_of(str(home), str(home)) is None
    assert project_of(str(below), str(home)) == str(below)


def test_a_repository_above_home_is_no_project(home: Path) -> None:
    _directory(home.parent / ".git")
    below = _directory(home / "a")

    assert project_of(str(below), str(home)) == str(below)


def test_the_root_home_and_what_is_above_home_have_no_project(home: Path) -> None:
    assert project_of("/", str(home)) is None
    assert project_of(str(home), str(home)) is None
    assert project_of(str(home) + "/", str(home)) is None
    assert project_of(str(home.parent), str(home)) is None


def test_a_place_outside_home_is_searched_up_to_the_root(home: Path, tmp_path: Path) -> None:
    top = _directory(tmp_path.resolve() / "srv")
    _directory(top / ".claudectl")
    below = _directory(top / "x")

    assert project_of(str(below), str(home)) == str(top)


def test_symbolic_links_are_followed(home: Path, tmp_path: Path) -> None:
    top = _directory(home / "repo")
    _directory(top / ".git")
    _directory(top / "src")
    (home / "link").symlink_to(top / "src")
    (tmp_path / "house").symlink_to(home)

    assert project_of(str(home / "link"), str(home)) == str(top)
    assert project_of(str(tmp_path / "house"), str(home)) is None
    assert project_of(str(home), str(tmp_path / "house")) is None


def test_a_mark_that_is_a_file_or_a_link_does_not_count(home: Path) -> None:
    for name in ("file", "link"):
        _directory(home / name / "below")
    (home / "file" / ".claudectl").write_text("")
    (home / "link" / ".claudectl").symlink_to(_directory(home / "elsewhere"))

    for name in ("file", "link"):
        below = home / name / "below"
        assert project_of(str(below), str(home)) == str(below)


@pytest.mark.privileged
def test_a_mark_of_another_user_does_not_count(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    shared = _directory(home / "shared")
    os.chown(_directory(shared / ".claudectl"), 12345, 12345)
    below = _directory(shared / "below")

    assert project_of(str(below), str(home)) == str(below)


def test_the_search_for_git_can_be_exchanged(home: Path) -> None:
    below = _directory(home / "a" / "b" / "c")

    assert project_of(str(below), str(home), lambda _: str(home / "a")) == str(home / "a")
    assert project_of(str(below), str(home), lambda _: None) == str(below)


def test_nothing_is_made(home: Path) -> None:
    work = _directory(home / "work")
    before = sorted(home.rglob("*"))

    project_of(str(work), str(home))
    project_of(str(work / "missing"), str(home))

    assert sorted(home.rglob("*")) == before


def test_the_nearest_git_entry_is_found_upwards_only(home: Path) -> None:
    top = _directory(home / "repo")
    _directory(top / ".git")
    _directory(top / "sub" / "inner" / ".git")

    assert nearest_git(str(top / "sub")) == str(top)
    assert nearest_git(str(top / "sub" / "inner")) == str(top / "sub" / "inner")
