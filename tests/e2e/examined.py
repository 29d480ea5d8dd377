"""A program: the doctor beside a real service manager of the user. Started as test_doctor.py starts it."""

import json

from tests.e2e.scripts import ECHO
from tests.e2e.services import Serviced
from tests.e2e.user_manager import isolate


def found(world: Serviced) -> dict[str, tuple[str, str, str]]:
    """(grade, found, fix) by check; the world has no Claude Code, which is wrong."""
    document = json.loads(world.ctl("doctor", "--json", code=1).out)
    return {one["check"]: (one["grade"], one["found"], one["fix"]) for one in document["findings"]}


def main() -> None:
    """Play the scene; a failed assertion is the exit code."""
    with Serviced() as world:
        isolate()
        world.boot()

        nothing = found(world)["service"]
        assert nothing[0] == "weaker", nothing
        assert nothing[2] == "claudectl daemon install", nothing

        world.run(ECHO)
        plain = found(world)
        assert plain["keeper's cgroup"][0] == "ok", plain
        assert "scope is not the daemon's" in plain["keeper's cgroup"][1], plain

        world.ctl("daemon", "install")
        installed = found(world)
        assert installed["service"][0] == "ok", installed
        assert "was started before it" in installed["keeper's service"][1], installed
        assert installed["lingering"][0] == "weaker", installed

        world.ctl("daemon", "stop", "--sessions")
        stopped = found(world)
        assert stopped["service"][1:] == ("installed and enabled, but inactive", "claudectl daemon start"), (
            stopped
        )

        world.ctl("daemon", "start")
        started = found(world)
        for check in ("daemon", "keeper", "keeper's cgroup", "service", "keeper's service"):
            assert started[check][0] == "ok", started[check]
        world.end_all()


if __name__ == "__main__":
    main()
