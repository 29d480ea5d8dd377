"""Both ends of a connection, joined without a network."""

from claudectl_protocol.calls import AnyCall
from claudectl_protocol.connection import (
    ClientConnection,
    ClientEvent,
    DaemonConnection,
    DaemonEvent,
    Greeted,
    Refuse,
)


class ConnectionPair:
    """What one end sends reaches the other at once; with `cut`, in pieces of that many bytes.

    The daemon's end answers by itself only what needs no decision. `of_client` and `of_daemon` hold all events
    so far, in order.
    """

    def __init__(self, cut: int | None = None) -> None:
        self.client = ClientConnection("1.2.3", 41, ("later",))
        self.daemon = DaemonConnection("4.5.6", 42)
        self.of_client: list[ClientEvent] = []
        self.of_daemon: list[DaemonEvent] = []
        self._cut = cut

    @classmethod
    def greeted(cls, cut: int | None = None) -> "ConnectionPair":
        """A pair whose greeting is done and forgotten."""
        pair = cls(cut)
        pair.to_client(pair.daemon.start())
        pair.to_daemon(pair.client.start())
        pair.of_client.clear()
        pair.of_daemon.clear()
        return pair

    def to_daemon(self, data: bytes) -> None:
        """Let the daemon's end receive."""
        for piece in self._pieces(data):
            for event in self.daemon.receive_data(piece):
                self.of_daemon.append(event)
                if isinstance(event, (Greeted, Refuse)):
                    self.to_client(event.to_send)

    def to_client(self, data: bytes) -> None:
        """Let the client's end receive."""
        for piece in self._pieces(data):
            self.of_client += self.client.receive_data(piece)

    def ask(self, call: AnyCall) -> int:
        """Send a call through; its id."""
        call_id, to_send = self.client.send(call)
        self.to_daemon(to_send)
        return call_id

    def _pieces(self, data: bytes) -> list[bytes]:
        size = self._cut or max(len(data), 1)
        return [data[i : i + size] for i in range(0, len(data), size)]
