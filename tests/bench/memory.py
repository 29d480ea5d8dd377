"""How much memory idle sessions take in the programs that keep them; not what their own programs take."""

from contextlib import ExitStack

from tests.bench import children, tmux
from tests.bench.product import Product
from tests.bench.results import Figures, Line, Party, Target
from tests.bench.scale import Scale
from tests.bench.tmux import Tmux

TARGET_SESSIONS = 500
MB = 1e6


def _name(sessions: int) -> str:
    return f"memory (PSS), {sessions} idle"


def lines(scale: Scale) -> tuple[Line, ...]:
    """What is measured."""
    target = Target(value=60)
    return tuple(
        Line(name=_name(count), unit="MB", target=target if count == TARGET_SESSIONS else None)
        for count in scale.memory_sessions
    )


def measure(scale: Scale) -> Figures:
    """Keeper and daemon, and the tmux server, with more and more sessions. Once: it does not vary."""
    figures: Figures = {}
    with ExitStack() as stack:
        product = stack.enter_context(Product())
        server = stack.enter_context(Tmux()) if tmux.is_installed() else None
        have = 0
        for count in scale.memory_sessions:
            product.fill([children.IDLE] * (count - have))
            figures[_name(count)] = {Party.OURS: product.pss_bytes() / MB}
            if server is not None:
                server.fill([children.IDLE] * (count - max(have, 1)))
                figures[_name(count)][Party.PEER] = server.pss_bytes() / MB
            have = count
    return figures
