"""Starting a child: what it inherits, what it does not, and exact refusals that leave nothing behind."""

import json
import os
import re
import resource
import signal
import stat
from pathlib import Path

import msgspec
import pytest

from claudectl_protocol.sessions import Size
from claudectld.core.session import LaunchContext
from claudectld.keeper import processes
from claudectld.ports import EndedRun, LiveRun, SpawnFailed
from tests.claudectld.keeper.harness import INTERPRETER, Desk, Home, sizes, spec

pytestmark = pytest.mark.anyio


async def refusal(desk: Desk, *argv: str, **changes: object) -> SpawnFailed:
    with pytest.raises(SpawnFailed) as caught:
        await desk.client.spawn(spec(*argv, **changes))
    return caught.value


def executable(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


async def test_each_failure_names_its_stage_errno_and_path_and_leaves_nothing(home: Home) -> None:
    keeper = home.start()
    no_interpreter = executable(home.path / "script", "#!/nonexistent/interpreter\n")
    no_format = executable(home.path / "data", "neither ELF nor script\n")
    (home.path / "plain").write_text("#!/bin/sh\n")
    not_executable = str(home.path / "plain")
    async with home.desk() as desk:
        await desk.until_ended(await desk.shell("exit 0"))
        await desk.client.ping()
        before = sorted(os.listdir(f"/proc/{keeper.pid}/fd"))
        records = set(home.runs())

        found = {
            (failed.stage, failed.error, failed.path)
            for failed in [
                await refusal(desk, "/nonexistent/program"),
                await refusal(desk, not_executable),
                await refusal(desk, no_format),
                await refusal(desk, no_interpreter),
                await refusal(desk, "relative/program"),
                await refusal(desk, "/bin/true", cwd="/nonexistent"),
                await refusal(desk, "/bin/true", cwd=not_executable),
                await refusal(desk, "/bin/true", cwd="relative"),
                await refusal(desk, "/bin/true", "x" * 200_000),
            ]
        }

        assert found == {
            ("exec", "ENOENT", "/nonexistent/program"),
            ("exec", "EACCES", not_executable),
            ("exec", "ENOEXEC", no_format),
            ("exec", "ENOENT", no_interpreter),
            ("exec", "EINVAL", "relative/program"),
            ("chdir", "ENOENT", "/nonexistent"),
            ("chdir", "ENOTDIR", not_executable),
            ("cwd", "EINVAL", "relative"),
            ("exec", "E2BIG", "/bin/true"),
        }
        await desk.client.ping()
        assert set(home.runs()) == records
        assert sorted(os.listdir(f"/proc/{keeper.pid}/fd")) == before
        assert keeper.pid not in {process.ppid for process in processes.table().values()}


async def test_a_missing_interpreter_is_told_from_a_missing_program(home: Home) -> None:
    home.start()
    script = executable(home.path / "script", "#!/nonexistent/interpreter\n")
    async with home.desk() as desk:
        assert "interpreter" in (await refusal(desk, script)).detail


async def test_a_limit_that_cannot_be_set_refuses_with_the_reason(home: Home) -> None:
    home.start()
    above_what_the_kernel_allows = {resource.RLIMIT_NOFILE: (64, -1)}
    soft_above_hard = {resource.RLIMIT_CORE: (2, 1)}
    no_such_limit = {999: (1, 1)}
    async with home.desk() as desk:
        for rlimits, error in (
            (above_what_the_kernel_allows, "EPERM"),
            (soft_above_hard, "EINVAL"),
            (no_such_limit, "EINVAL"),
        ):
            failed = await refusal(desk, "/bin/true", context=LaunchContext(env={}, rlimits=rlimits))
            assert (failed.stage, failed.error) == ("limits", error)


@pytest.mark.privileged
async def test_groups_that_cannot_be_had_refuse_with_the_reason(home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip(
            "needs a keeper that is not allowed to set groups, made by dropping the capability as root"
        )
    home.start(launcher=("/usr/bin/setpriv", "--bounding-set", "-setgid", "--inh-caps", "-setgid"))
    async with home.desk() as desk:
        failed = await refusal(desk, "/bin/true", context=LaunchContext(env={}, groups=(1, 12345)))
        assert (failed.stage, failed.error) == ("groups", "EPERM")

        own = LaunchContext(env={}, groups=tuple(os.getgroups()))
        assert (await desk.until_ended(await desk.spawn("/bin/true", context=own))).exit.code == 0


async def test_the_child_gets_the_clients_environment_umask_limits_and_nothing_of_the_keepers(
    home: Home,
) -> None:
    home.start(crash="no:such-point")
    context = LaunchContext(
        env={"A": "1", "empty": "", "bytes": os.fsdecode(b"\xff\xfe")},
        umask=0o027,
        rlimits={resource.RLIMIT_CORE: (0, 0), resource.RLIMIT_NOFILE: (77, 99)},
    )
    script = (
        "import os, json, resource; os.umask(mask := os.umask(0));"
        "print(json.dumps([dict(os.environ), mask, resource.getrlimit(resource.RLIMIT_CORE),"
        "resource.getrlimit(resource.RLIMIT_NOFILE), os.getcwd()]))"
    )
    async with home.desk() as desk:
        run = await desk.spawn(INTERPRETER, "-I", "-S", "-c", script, context=context, cwd=str(home.path))
        await desk.until_ended(run)
        env, umask, core, nofile, cwd = json.loads(home.printed(run))
    assert env.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python adds it to its own environment
    assert env == context.env
    assert umask == 0o027
    assert core == [0, 0]
    assert nofile == [77, 99]
    assert cwd == str(home.path)


async def test_a_child_without_limits_of_its_own_gets_the_keepers_original_ones(home: Home) -> None:
    home.start(launcher=("/usr/bin/prlimit", "--nofile=300:5000"))
    async with home.desk() as desk:
        run = await desk.shell("ulimit -Sn; ulimit -Hn")
        await desk.until_ended(run)
        assert home.printed(run).split() == [b"300", b"5000"]


async def test_the_child_has_descriptors_0_1_2_only_and_they_are_its_controlling_terminal(home: Home) -> None:
    home.start()
    script = (
        "import os; fds = os.listdir('/proc/self/fd');"
        "own = sorted(n for n in fds if os.path.exists(f'/proc/self/fd/{n}'));"
        "fd = os.open('/dev/tty', os.O_RDWR); print(own, os.getsid(0) == os.getpid(),"
        "os.tcgetpgrp(fd) == os.getpgrp(), len({os.ttyname(n) for n in (0, 1, 2)}))"
    )
    async with home.desk() as desk:
        other = await desk.shell("read wait")
        run = await desk.spawn(INTERPRETER, "-I", "-S", "-c", script)
        await desk.until_ended(run)
        assert home.printed(run).strip() == b"['0', '1', '2'] True True 1"
        await desk.client.signal(other.run, signal.SIGKILL)
        await desk.until_ended(other)


async def test_the_child_starts_with_default_signals_and_an_empty_mask(home: Home) -> None:
    home.start(launcher=("/usr/bin/env", "--ignore-signal=HUP,QUIT,USR2", "--block-signal=TERM,WINCH"))
    async with home.desk() as desk:
        run = await desk.spawn("/bin/cat", "/proc/self/status")
        await desk.until_ended(run)
        status = dict(re.findall(r"(Sig\w+):\s+(\w+)", home.printed(run).decode()))
    assert {name: int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")} == {
        "SigBlk": 0,
        "SigIgn": 0,
        "SigCgt": 0,
    }


async def test_the_size_is_set_before_the_program_runs_and_logged_at_offset_0(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("stty size", size=Size(cols=132, rows=43, xpixel=1320, ypixel=860))
        await desk.until_ended(run)
        assert home.printed(run).split() == [b"43", b"132"]
        assert sizes(home.record(run)) == ["size 0 132 43 1320 860"]


async def test_the_identity_is_on_disk_before_the_program_runs(home: Home) -> None:
    home.start()
    made = spec("/bin/true")
    process = home.state / "records" / made.session / made.run / "process"
    async with home.desk() as desk:
        run = await desk.spawn(
            *("/bin/sh", "-c", 'cat "$0"', str(process)), run=made.run, session=made.session
        )
        await desk.until_ended(run)
        told = json.loads(home.printed(run))
    assert {name: told[name] for name in ("boot_id", "pid", "start_ticks")} == msgspec.to_builtins(
        run.process
    )


async def test_directories_are_0700_and_files_0600(home: Home) -> None:
    home.start()
    async with home.desk() as desk:
        run = await desk.shell("echo hello")
        await desk.until_ended(run)
    record = home.record(run)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (record, record.parent, home.state)} == {0o700}
    assert {path.name for path in record.iterdir()} == {"0" * 20, "sizes", "process", "exit"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in record.iterdir()} == {0o600}


@pytest.mark.parametrize("point", ["spawn:before-fork", "spawn:after-fork"])
async def test_a_run_whose_keeper_died_before_its_program_ran_is_begun_by_the_next(
    home: Home, point: str
) -> None:
    ran = home.path / "ran"
    home.start(crash=point)
    made = spec("/bin/sh", "-c", f"echo x >>{ran}; echo ready; read wait")
    async with home.desk() as desk:
        with pytest.raises(Exception, match="connection"):
            await desk.client.spawn(made)
    home.start()
    async with home.desk() as desk:
        run = await desk.client.spawn(made)
        assert isinstance(run, LiveRun)
        await desk.until_printed(run, b"ready")
    assert ran.read_text() == "x\n"


async def test_a_keeper_that_dies_after_the_program_ran_never_causes_a_second_child(home: Home) -> None:
    home.start(crash="spawn:before-reply")
    made = spec("/bin/sh", "-c", "read wait")
    async with home.desk() as desk:
        with pytest.raises(Exception, match="connection"):
            await desk.client.spawn(made)
    home.start()
    async with home.desk() as desk:
        outcome = await desk.client.spawn(made)
        assert isinstance(outcome, EndedRun)
        assert (outcome.exit.reason, outcome.exit.code, outcome.exit.signal) == ("unknown", None, None)
        await desk.client.end(made.run, signal.SIGKILL)


async def test_runs_beyond_what_the_keeper_can_hold_are_refused_and_the_rest_goes_on(home: Home) -> None:
    home.start(launcher=("/usr/bin/prlimit", "--nofile=150:150"))
    async with home.desk() as desk:
        runs = [await desk.shell("read wait") for _ in range(12)]
        failed = await refusal(desk, "/bin/true")
        assert (failed.stage, failed.error) == ("pty", "EMFILE")
        async with home.desk() as other:
            assert len((await other.client.hello()).live) == len(runs)
