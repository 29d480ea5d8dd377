"""What a session gets of its client: every variable, whatever its bytes."""

import os

from claudectl.inheritance import inherited_environment, inherited_raw_environment
from claudectl_protocol.calls import New
from claudectl_protocol.codec import encode_call
from claudectl_protocol.sessions import SessionId

TEXT = {"PATH": "/bin", "CITY": "Orléans"}
RAW = {os.fsdecode(b"ODD"): os.fsdecode(b"caf\xe9"), os.fsdecode(b"N\xe9"): "x"}


def test_variables_that_are_no_text_go_as_bytes_and_all_others_as_text() -> None:
    environment = {**TEXT, **RAW}

    assert inherited_environment(environment) == TEXT
    assert inherited_raw_environment(environment) == {b"ODD": b"caf\xe9", b"N\xe9": b"x"}


def test_both_can_be_sent() -> None:
    environment = {**TEXT, **RAW}
    call = New(
        key=SessionId("11111111-1111-4111-8111-111111111111"),
        cwd="/",
        env=inherited_environment(environment),
        raw_env=inherited_raw_environment(environment),
    )

    assert b"caf\xe9" in encode_call(1, call)
