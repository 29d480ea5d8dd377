import signal

from claudectl_protocol.sessions import SessionId
from claudectld.core.session import CLAUDE, Session
from claudectld.profile import profile_of


def session(program: str) -> Session:
    return Session(
        id=SessionId("6b8b4567-0000-4000-8000-000000000001"), name="a", project=None, cwd="/", program=program
    )


def test_claude_is_only_terminated_never_suspended_and_not_killed_young() -> None:
    profile = profile_of(session(CLAUDE))
    assert profile.stop_signals == (signal.SIGTERM,)
    assert not profile.suspend_key
    assert profile.young_s == 10.0


def test_another_program_is_hung_up_on_terminated_and_woken() -> None:
    profile = profile_of(session("/bin/bash"))
    assert profile.stop_signals == (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT)
    assert profile.suspend_key
    assert profile.young_s == 0.0
