"""Who is at the other end, as the kernel says."""

import os
import socket

import pytest

from claudectld.peer import Peer, peer_of


def test_the_other_end_is_this_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(uid=os.geteuid(), pid=os.getpid())


def test_who_connected_is_told_also_after_they_have_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert peer_of(ours).uid == os.geteuid()


def test_nobody_is_let_in_where_the_system_does_not_tell() -> None:
    with socket.socket(socket.AF_UNIX) as closed:
        closed.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            peer_of(closed)
