"""The loop: everybody's turn comes, and what was given up is not called."""

import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from claudectld.keeper.input import REMEMBERED_BATCHES, Input
from claudectld.keeper.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    made = [os.pipe() for _ in range(3)]
    yield made
    for pair in made:
        for fd in pair:
            os.close(fd)


def test_each_ready_descriptor_has_one_call_per_turn(loop: Loop, pipes: list[tuple[int, int]]) -> None:
    calls: list[int] = []

    def reader(number: int) -> None:
        os.read(pipes[number][0], 1)
        calls.append(number)

    for number, (read, write) in enumerate(pipes):
        os.write(write, b"x" * (50 if number == 0 else 2))
        loop.on_read(read, partial(reader, number))
    loop.turn()
    loop.turn()
    assert sorted(calls[:3]) == sorted(calls[3:]) == [0, 1, 2]


def test_what_was_given_up_in_a_turn_is_not_called_in_it(loop: Loop, pipes: list[tuple[int, int]]) -> None:
    calls: list[int] = []

    def first_come(number: int) -> None:
        calls.append(number)
        for read, _ in pipes:
            loop.give_up(read)

    for number, (read, write) in enumerate(pipes):
        os.write(write, b"x")
        loop.on_read(read, partial(first_come, number))
    loop.turn()
    assert len(calls) == 1


def test_what_is_put_off_comes_at_the_end_of_the_turn_and_keeps_the_loop_from_waiting(loop: Loop) -> None:
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        loop.soon(lambda: calls.append("second"))

    loop.soon(first)
    loop.turn()
    assert calls == ["first"]
    loop.turn()
    assert calls == ["first", "second"]


def test_signals_are_called_in_the_loop(loop: Loop) -> None:
    calls: list[int] = []
    before = {signo: signal.getsignal(signo) for signo in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        loop.on_signals({signo: partial(calls.append, signo) for signo in before})
        for signo in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), signo)
        assert calls == []
        loop.turn()
        assert calls == [signal.SIGUSR1, signal.SIGUSR2]
    finally:
        for signo, handler in before.items():
            signal.signal(signo, handler)


def test_the_last_4096_batches_are_remembered(pipes: list[tuple[int, int]]) -> None:
    read, write = pipes[0]
    wants: list[bool] = []
    queue = Input(write, lambda *, wanted: wants.append(wanted))
    done: list[bool] = []
    for number in range(REMEMBERED_BATCHES + 1):
        queue.add(str(number), b"x", lambda *, typed: done.append(typed))
    queue.add("1", b"again", lambda *, typed: done.append(typed))
    queue.add("0", b"forgotten", lambda *, typed: done.append(typed))
    assert not any(wants)
    assert done == [True] * (REMEMBERED_BATCHES + 3)
    assert os.read(read, 1 << 16) == b"x" * (REMEMBERED_BATCHES + 1) + b"forgotten"
