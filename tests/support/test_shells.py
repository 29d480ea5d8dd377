import threading
from pathlib import Path

import pytest

from tests.support import shells
from tests.support.claude_code import Unavailable

APT_GET = """
echo "$@" >> "$LOG"
shift 3
test "$1" = download || exit 0
shift
for package; do echo "$package" > "$package.deb"; done
"""
APT_GET_WITHOUT_LISTS = 'test "$4" != download || { echo "$@" >> "$LOG"; exit 100; }' + APT_GET.replace(
    "shift 3", "shift 7"
)
DPKG_DEB = """
if [ "$1" = -f ]; then echo "libc6 (>= 2.34), libstdc++6 (>= 12), man-db"; exit; fi
mkdir -p "$3/bin" "$3/usr/bin" "$3/usr/share/zsh/functions/Completion/Unix" "$3/usr/lib"
case "$2" in
    */zsh-static.deb) program="$3/bin/zsh-static" ;;
    */fish.deb) program="$3/usr/bin/fish" ;;
    */libstdc*) touch "$3/usr/lib/libstdc++.so.6"; exit ;;
    *) exit 0 ;;
esac
printf '#!/bin/sh\\necho "$@" >> "$LOG"\\n' > "$program"
chmod +x "$program"
"""
LDD = (
    'echo "libc.so.6 => /lib"; test -e "${1%/bin/*}/lib/libstdc++.so.6" || echo "libstdc++.so.6 => not found"'
)
DOWNLOAD = "-q -o APT::Sandbox::User=root download"


class Machine:
    """A machine with nothing on PATH but what is put there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cache = path / "cache"
        self.bin = path / "bin"
        self.bin.mkdir()
        for name in ("sh", "mkdir", "touch", "chmod", "test", "echo"):
            (self.bin / name).symlink_to(f"/bin/{name}")
        self.put("ldd", "exit 1")

    def put(self, name: str, script: str) -> Path:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    def put_apt(self, apt_get: str = APT_GET, dpkg_deb: str = DPKG_DEB) -> None:
        self.put("apt-get", apt_get)
        self.put("dpkg-deb", dpkg_deb)

    @property
    def log(self) -> list[str]:
        return (self.path / "log").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("CLAUDECTL_TEST_CACHE", str(made.cache))
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return made


def test_the_machine_s_own_shell_is_taken_as_it_is(machine: Machine) -> None:
    own = machine.put("zsh", "exit")
    machine.put_apt()

    assert shells.shell("zsh") == shells.Shell(str(own), {})
    assert not machine.cache.exists()


def test_a_shell_that_is_missing_is_unpacked_once_and_tried(machine: Machine) -> None:
    machine.put_apt()

    found = shells.shell("zsh")

    root = machine.cache / "shell-zsh"
    functions = f"{root}/usr/share/zsh/functions"
    assert found.program == str(root / "bin/zsh-static")
    assert found.environment == {"FPATH": f"{functions}/Completion:{functions}/Completion/Unix"}
    assert shells.shell("zsh") == found
    assert machine.log == [f"{DOWNLOAD} zsh-static zsh-common", "--version"]
    assert {path.name for path in machine.cache.iterdir()} == {"shell-zsh", "shell-zsh.lock"}


def test_libraries_that_the_machine_lacks_come_along(machine: Machine) -> None:
    machine.put_apt()
    machine.put("ldd", LDD)

    found = shells.shell("fish")

    assert found.environment == {"LD_LIBRARY_PATH": f"{machine.cache}/shell-fish/usr/lib"}
    assert machine.log == [f"{DOWNLOAD} fish fish-common", f"{DOWNLOAD} libstdc++6", "--version"]


def test_a_shell_whose_libraries_cannot_be_had_is_not_kept(machine: Machine) -> None:
    machine.put_apt()
    machine.put("ldd", 'echo "libodd.so.1 => not found"')

    with pytest.raises(Unavailable, match=r"fish needs libodd\.so\.1"):
        shells.shell("fish")
    assert not (machine.cache / "shell-fish").exists()


def test_what_was_left_half_made_is_not_believed(machine: Machine) -> None:
    machine.put_apt(dpkg_deb=f"{DPKG_DEB}\necho disk full >&2; exit 1")
    with pytest.raises(Unavailable, match="disk full"):
        shells.shell("zsh")
    left = machine.cache / "shell-zsh.part" / "bin" / "left"
    left.touch()
    machine.put_apt()

    found = shells.shell("zsh")

    assert Path(found.program).exists()
    assert not (machine.cache / "shell-zsh" / "bin" / "left").exists()


def test_a_shell_that_does_not_run_is_not_kept(machine: Machine) -> None:
    machine.put_apt(dpkg_deb=DPKG_DEB.replace('\\necho "$@"', '\\necho bad >&2; exit 1; echo "$@"'))

    with pytest.raises(Unavailable, match="bad"):
        shells.shell("zsh")
    assert not (machine.cache / "shell-zsh").exists()


def test_lists_of_our_own_are_fetched_where_the_machine_s_do_not_help(machine: Machine) -> None:
    machine.put_apt(APT_GET_WITHOUT_LISTS)

    shells.shell("zsh")

    part = machine.cache / "shell-zsh.part"
    own = f"-o Dir::State::Lists={part}/apt/lists -o Dir::Cache={part}/apt"
    download = f"{DOWNLOAD.removesuffix(' download')} {own} download zsh-static zsh-common"
    assert machine.log[1:] == [download.partition(" download")[0] + " update", download, "--version"]


def test_several_at_once_make_one(machine: Machine) -> None:
    machine.put_apt()
    threads = [threading.Thread(target=shells.shell, args=["zsh"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(machine.log) == 2


def test_without_apt_get_tests_are_skipped_but_fail_where_nothing_may_be_missing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get is not installed"):
        shells.shell_or_skip("fish")
    assert not (machine.cache / "shell-fish").exists()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get is not installed"):
        shells.shell_or_skip("fish")


@pytest.mark.usefixtures("machine")
def test_a_shell_that_is_never_fetched_is_said_to_be_missing() -> None:
    with pytest.raises(Unavailable, match="dash is not installed"):
        shells.shell("dash")
