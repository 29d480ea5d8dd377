"""How much is measured: the full sizes, and the smallest that still run every bench."""

from claudectl_protocol.sessions import Value


class Scale(Value):
    """The sizes of one run."""

    rounds: int
    create_rounds: int
    list_rounds: int
    list_sessions: tuple[int, int]
    block_bytes: int
    """Less than a client may be behind."""
    blocks: int
    flood_bytes: int
    keys: int
    memory_sessions: tuple[int, ...]
    ticking_sessions: int
    ticking_s: float
    adopted_sessions: int
    adopted_bytes: int
    adopted_quiet_s: float
    """Before the kill: long enough for a daemon to make its checkpoints."""


FULL = Scale(
    rounds=5,
    create_rounds=20,
    list_rounds=20,
    list_sessions=(1, 500),
    block_bytes=500_000,
    blocks=80,
    flood_bytes=64_000_000,
    keys=1000,
    memory_sessions=(10, 100, 500),
    ticking_sessions=100,
    ticking_s=10.0,
    adopted_sessions=100,
    adopted_bytes=1024 * 1024,
    adopted_quiet_s=12.0,
)

QUICK = Scale(
    rounds=1,
    create_rounds=2,
    list_rounds=2,
    list_sessions=(1, 8),
    block_bytes=100_000,
    blocks=3,
    flood_bytes=400_000,
    keys=20,
    memory_sessions=(2, 4),
    ticking_sessions=3,
    ticking_s=1.0,
    adopted_sessions=4,
    adopted_bytes=64 * 1024,
    adopted_quiet_s=0.0,
)
