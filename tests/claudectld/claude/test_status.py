import base64

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudectl_protocol.sessions import Activity, ActivityState
from claudectld.claude.status import TEXT_CHARACTERS, parse

# A busy machine is no defect of the code.
patiently = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def reported(state: ActivityState, kind: str = "", text: str = "") -> Activity:
    return Activity(state=state, kind=kind, text=text, source="osc7501")


@pytest.mark.parametrize(
    ("body", "activity"),
    [
        ("state=idle:app=claude-code", reported(ActivityState.IDLE)),
        ("state=done:app=claude-code", reported(ActivityState.IDLE)),
        ("state=working:app=claude-code", reported(ActivityState.WORKING)),
        ("state=working:app=claude-code:progress=40", reported(ActivityState.WORKING)),
        (
            f"state=working:app=claude-code:msg={b64('1 shell still running')}",
            reported(ActivityState.WORKING, text="1 shell still running"),
        ),
        (
            "state=blocked:app=claude-code:kind=permission:msg=YXBwcm92ZSBCYXNoOiB0b3VjaCB4",
            reported(ActivityState.NEEDS_INPUT, "permission", "approve Bash: touch x"),
        ),
        (
            f"state=blocked:app=claude-code:kind=permission:msg={b64('trust this folder')}",
            reported(ActivityState.NEEDS_INPUT, "trust", "trust this folder"),
        ),
        (
            f"state=blocked:app=claude-code:kind=question:msg={b64('Which one?')}",
            reported(ActivityState.NEEDS_INPUT, "question", "Which one?"),
        ),
        (
            f"state=blocked:app=claude-code:title={b64('t')}:msg={b64('dialog open')}",
            reported(ActivityState.NEEDS_INPUT, "dialog", "dialog open"),
        ),
        ("state=blocked:app=claude-code:kind=new", reported(ActivityState.NEEDS_INPUT, "dialog")),
        (
            f"state=error:app=claude-code:msg={b64('API Error: 529')}",
            reported(ActivityState.ERROR, text="API Error: 529"),
        ),
        ("state=clear", reported(ActivityState.UNKNOWN)),
    ],
)
def test_a_report_says_what_the_session_is_doing(body: str, activity: Activity) -> None:
    assert parse(body) == activity
    assert parse(body.encode()) == activity


@pytest.mark.parametrize(
    "body",
    [
        "",
        "?",
        "state=working:app=claude-code:id=agent-1:title=eA==",
        "state=clear:id=agent-1",
        "state=sleeping",
        "app=claude-code",
        "state=idle:state=working",
        "state",
        "state=idle" + ":x=" + "y" * 20000,
    ],
)
def test_what_is_no_report_of_the_session_itself_says_nothing(body: str) -> None:
    assert parse(body) is None


def test_a_message_cannot_act_on_a_terminal() -> None:
    activity = parse(f"state=error:msg={b64('a' + chr(27) + '[31mb' + chr(10) + 'c' + chr(0x9B) + '2J')}")
    assert activity is not None
    assert activity.text.isprintable()


def test_a_message_is_cut() -> None:
    activity = parse(f"state=error:msg={b64('x' * 2048)}")
    assert activity is not None
    assert len(activity.text) <= TEXT_CHARACTERS


@pytest.mark.parametrize("message", ["!!!", "YQ", "\udcff", b64("ü")[:-1]])
def test_a_broken_message_costs_the_text_only(message: str) -> None:
    assert parse(f"state=error:msg={message}") == reported(ActivityState.ERROR)


@patiently
@given(st.text() | st.binary())
def test_nothing_makes_it_raise(body: str | bytes) -> None:
    parse(body)


@patiently
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["state", "app", "kind", "id", "msg", "title", "progress"]),
            st.sampled_from(["idle", "working", "blocked", "error", "clear", "permission", "YQ==", ""])
            | st.text(max_size=20)
            | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
        ),
        max_size=6,
    )
)
def test_likely_nonsense_does_not_raise_either(fields: list[tuple[str, str]]) -> None:
    activity = parse(":".join(f"{key}={value}" for key, value in fields))
    if activity is not None:
        assert activity.text == "" or activity.text.isprintable()
