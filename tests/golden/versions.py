"""What released versions have left: their frames and their directories, byte for byte, never to be changed.

`tests/golden/VERSION.sha256` names each file of a version. A leading dot of a name is written `dot-`, since what is
called `.claudectl` is for no repository.
"""

import hashlib
from pathlib import Path

GOLDEN = Path(__file__).parent
PLACES = (GOLDEN / "stores", GOLDEN / "vectors")
HOME = "/tmp/claudectl-golden"
"""Where the person of the frozen directories lived."""


def frozen() -> list[str]:
    """All versions."""
    return sorted(path.stem for path in GOLDEN.glob("*.sha256"))


def sums_path(version: str) -> Path:
    """The list of a version's files."""
    return GOLDEN / f"{version}.sha256"


def files(version: str) -> list[Path]:
    """Every file of a version."""
    return sorted(path for place in PLACES for path in (place / version).rglob("*") if path.is_file())


def sums(version: str) -> str:
    """The list as it has to be: a line for each file, as sha256sum writes it."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(GOLDEN).as_posix()}\n"
        for path in files(version)
    )


def visible(name: str) -> str:
    """A file's name as it is frozen."""
    return f"dot-{name[1:]}" if name.startswith(".") else name


def original(name: str) -> str:
    """A frozen file's own name."""
    return f".{name[4:]}" if name.startswith("dot-") else name
