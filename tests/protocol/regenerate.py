"""Write protocol/vectors anew: `python -m tests.protocol.regenerate`.

A changed file is a changed wire: read the difference before it is committed.
"""

import sys

from tests.protocol.vectors import DIRECTORY, dump, expected


def main() -> None:
    """Write every vector, and remove the ones that nothing on the wire has any more."""
    vectors = expected()
    for path in DIRECTORY.rglob("*.json"):
        if path.relative_to(DIRECTORY).as_posix() not in vectors:
            path.unlink()
    for name, vector in vectors.items():
        path = DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump(vector))
    print(f"{len(vectors)} vectors in {DIRECTORY}", file=sys.stderr)


if __name__ == "__main__":
    main()
