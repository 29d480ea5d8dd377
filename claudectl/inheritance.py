"""What a new session inherits from the process that asks for it: environment, umask, limits, groups."""

import os
import resource
from collections.abc import Mapping


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are UTF-8; the daemon knows what must not be passed on."""
    return {
        name: value
        for name, value in environment.items()
        if _is_text(name, value) and (name != "LC_CTYPE" or not _is_pythons(value))
    }


def inherited_raw_environment(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """The variables that are not; without them it would be another session than the one that was asked for."""
    return {
        os.fsencode(name): os.fsencode(value)
        for name, value in environment.items()
        if not _is_text(name, value)
    }


def _is_text(*words: str) -> bool:
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_pythons(locale: str) -> bool:
    """True when Python itself set LC_CTYPE, as it does where it finds the C locale; only Linux can tell."""
    if locale not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return False
    try:
        with open("/proc/self/environ", "rb") as file:
            return not any(word.startswith(b"LC_CTYPE=") for word in file.read().split(b"\0"))
    except OSError:
        return False


def inherited_groups() -> tuple[int, ...]:
    """The supplementary groups; never empty, which would leave the choice to who starts the child."""
    return tuple(os.getgroups()) or (os.getegid(),)


def inherited_umask() -> int:
    """The umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def inherited_rlimits() -> dict[int, tuple[int, int]]:
    """All limits this system knows by number, as (soft, hard) with -1 for no limit."""
    numbers = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {number: _limits(number) for number in sorted(numbers)}


def _limits(number: int) -> tuple[int, int]:
    soft, hard = resource.getrlimit(number)
    return _limit(soft), _limit(hard)


def _limit(value: int) -> int:
    return -1 if value == resource.RLIM_INFINITY else value
