"""Parked interpreters are bounded in number and memory; the one unused for longest goes first."""

from __future__ import annotations

from rstar_sandbox.guest.parking import Parking


class ScriptedInterpreter:
    """In one state; without a process: the kernel gives no such number."""

    pid, uid, plain = 2**27, 100_000, True

    def __init__(self, state: bytes) -> None:
        self.states = [state]
        self.closed = False

    def close(self) -> None:
        self.closed = True


def parked(parking: Parking, *states: bytes) -> list[ScriptedInterpreter]:
    interpreters = [ScriptedInterpreter(state) for state in states]
    for interpreter in interpreters:
        parking.park(interpreter)  # type: ignore[arg-type]
    return interpreters


def test_the_one_unused_for_longest_makes_room():
    parking = Parking(places=2, memory_bytes=2**62)
    first, second = parked(parking, b"1", b"2")
    held = parking.hold(b"1")
    assert held
    parking.release(held)
    parked(parking, b"3")
    assert (first.closed, second.closed, len(parking)) == (False, True, 2)
    assert parking.hold(b"2") is None


def test_one_that_is_used_stays_though_others_need_room():
    parking = Parking(places=1, memory_bytes=2**62)
    [first] = parked(parking, b"1")
    held = parking.hold(b"1")
    assert held
    [second] = parked(parking, b"2")
    assert (first.closed, second.closed) == (False, True)
    parking.release(held)
    parked(parking, b"3")
    assert first.closed


def test_of_two_in_the_same_state_one_is_kept():
    parking = Parking(places=9, memory_bytes=2**62)
    first, second = parked(parking, b"1", b"1")
    assert (first.closed, second.closed, len(parking)) == (False, True, 1)


def test_memory_beyond_the_bound_is_let_go_but_nothing_in_use():
    parking = Parking(places=9, memory_bytes=0)  # the machine always uses more
    first, second = parked(parking, b"1", b"2")
    assert parking.hold(b"1")
    parking.sweep()
    assert (first.closed, second.closed, len(parking)) == (False, True, 1)
