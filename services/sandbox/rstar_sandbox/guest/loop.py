"""A scheduler of coroutines for the zygote, small enough to fork safely.

asyncio would keep an epoll descriptor and a self-pipe, which every fork would share. This loop
owns no kernel object: it calls `poll` and nothing else. One descriptor has one waiter at most.
"""

from __future__ import annotations

import heapq
import select
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar

ValueT = TypeVar("ValueT")

_Task = Coroutine[Any, Any, Any]
_Park = Callable[["_Resume"], None]
_Resume = Callable[[Any], None]

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL


@types.coroutine
def _suspend(park: _Park) -> Generator[_Park, Any, Any]:
    return (yield park)


class Future(Generic[ValueT]):
    """A value that arrives once; anyone may await it, before or after."""

    def __init__(self) -> None:
        self._value: list[ValueT] = []
        self._waiting: list[_Resume] = []

    def set(self, value: ValueT) -> None:
        self._value.append(value)
        for resume in self._waiting:
            resume(value)
        self._waiting.clear()

    async def get(self) -> ValueT:
        if not self._value:
            await _suspend(self._waiting.append)
        return self._value[0]


class Slots:
    """At most so many at once, first come first served."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[_Resume] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
        else:
            await _suspend(self._waiting.append)

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.popleft()(None)
        else:
            self._free += 1


class _Waiter:
    """A task that waits for descriptors or a deadline, whichever comes first."""

    def __init__(self, descriptors: Sequence[int], resume: _Resume) -> None:
        self.descriptors = descriptors
        self.resume = resume
        self.ready: list[int] = []
        self.done = False


class Loop:
    """Runs tasks until told to stop."""

    def __init__(self) -> None:
        self._ready: deque[tuple[_Task, Any]] = deque()
        self._poll = select.poll()
        self._waiting: dict[int, _Waiter] = {}
        self._timers: list[tuple[float, int, _Waiter]] = []
        self._sequence = 0

    def spawn(self, task: _Task) -> None:
        """Start a task. An exception in it ends the whole zygote: the host starts another."""
        self._ready.append((task, None))

    def run(self, when_idle: Callable[[], bool]) -> None:
        """Go on for ever. `when_idle` may do one small piece of work; False when none was left."""
        while True:
            while self._ready:
                task, value = self._ready.popleft()
                try:
                    park: _Park = task.send(value)
                except StopIteration:
                    continue
                park(self._resumption(task))
            self._wait(0.0)
            if not self._ready and not when_idle():
                self._wait(None)

    def _resumption(self, task: _Task) -> _Resume:
        return lambda value: self._ready.append((task, value))

    async def readable(self, descriptors: Sequence[int], deadline: float) -> list[int]:
        """Wait until some of `descriptors` can be read, or hung up; [] after `deadline`."""

        def park(resume: _Resume) -> None:
            self._park(descriptors, deadline, resume)

        ready: list[int] = await _suspend(park)
        return ready

    async def gather(self, tasks: Sequence[Coroutine[Any, Any, ValueT]]) -> list[ValueT]:
        """Run tasks beside each other; their values in order."""
        futures: list[Future[ValueT]] = []
        for task in tasks:
            future: Future[ValueT] = Future()
            self.spawn(_deliver(task, future))
            futures.append(future)
        return [await future.get() for future in futures]

    def _park(self, descriptors: Sequence[int], deadline: float, resume: _Resume) -> None:
        waiter = _Waiter(descriptors, resume)
        for descriptor in descriptors:
            self._waiting[descriptor] = waiter
            self._poll.register(descriptor, _READABLE)
        self._sequence += 1
        heapq.heappush(self._timers, (deadline, self._sequence, waiter))

    def _wait(self, timeout: float | None) -> None:
        while self._timers and self._timers[0][2].done:
            heapq.heappop(self._timers)
        if timeout is None and self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic())
        woken: dict[int, _Waiter] = {}
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            waiter = self._waiting[descriptor]
            waiter.ready.append(descriptor)
            woken[id(waiter)] = waiter
        for waiter in woken.values():
            self._wake(waiter)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            waiter = heapq.heappop(self._timers)[2]
            if not waiter.done:
                self._wake(waiter)

    def _wake(self, waiter: _Waiter) -> None:
        waiter.done = True
        for descriptor in waiter.descriptors:
            del self._waiting[descriptor]
            self._poll.unregister(descriptor)
        waiter.resume(waiter.ready)


async def _deliver(task: Coroutine[Any, Any, ValueT], future: Future[ValueT]) -> None:
    future.set(await task)
