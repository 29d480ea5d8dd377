"""How findings are told."""

from claudectl.doctor.findings import ok, weaker, wrong
from claudectl.doctor.report import report

FINDINGS = (
    ok("daemon", "answers"),
    weaker("lingering", "off", "loginctl enable-linger"),
    wrong("clock", "1970"),
)


def test_each_finding_is_a_line_with_symbol_word_and_fix() -> None:
    assert report(FINDINGS, colour=False, ascii_only=False) == (
        "✓ ok      daemon     answers\n"
        "! weaker  lingering  off; fix: loginctl enable-linger\n"
        "✗ wrong   clock      1970\n"
        "1 wrong, 1 weaker, 1 ok\n"
    )


def test_a_terminal_without_symbols_gets_ascii() -> None:
    assert report(FINDINGS, colour=False, ascii_only=True).isascii()


def test_colour_is_only_a_help() -> None:
    lines = report(FINDINGS, colour=True, ascii_only=False).splitlines()

    assert lines[2] == "\x1b[31m✗ wrong \x1b[m  clock      1970"


def test_when_all_is_well_it_says_so() -> None:
    assert report(FINDINGS[:1], colour=False, ascii_only=False).endswith("\nall is well\n")
