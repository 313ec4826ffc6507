"""The sandbox's first process: loads what steps import, then answers the host's requests.

Started as root inside gVisor and nowhere else: it mounts and kills. It reads frames from
descriptor 0 and writes them to 1; when the host goes away, so does it.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import sys
import time
from typing import Any

from rstar_sandbox.guest import frames, heap, kernel
from rstar_sandbox.guest.jobs import Jobs
from rstar_sandbox.guest.limits import Limits
from rstar_sandbox.guest.loop import Loop, Slots
from rstar_sandbox.guest.nursery import Nursery
from rstar_sandbox.guest.orders import Course, Job
from rstar_sandbox.guest.parking import Parking
from rstar_sandbox.guest.plain import Screen

PRELOADED = (
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "json", "math", "numbers", "operator",
    "random", "re", "statistics", "string", "textwrap", "time", "typing", "ctypes",
    "mpmath", "numpy", "numpy.linalg", "numpy.random", "sympy", "sympy.abc",
    "sympy.parsing.sympy_parser", "_strptime",
)  # fmt: skip

SWEEP_SECONDS = 1.0
"""How often parked interpreters are looked at."""

MAX_OPEN_FILES = 8192

HOST_IN, HOST_OUT = 0, 1


def main() -> None:
    """Serve until the host closes the pipe."""
    options = frames.decode(sys.argv[1].encode())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(MAX_OPEN_FILES, hard), hard))
    kernel.close_devices()
    kernel.forgetful_proc()
    gc.disable()
    _load()
    screen = Screen()
    gc.collect()
    gc.freeze()  # later collections leave these pages alone, so forks go on sharing them
    heap.seal()
    Zygote(options, screen).serve()


def _load() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    import sympy

    # Once each, for what sympy imports and caches at first use only.
    x, y = sympy.symbols("x y")
    sympy.solve(x**2 - 2, x)
    sympy.solve([x + y - 1, x - y - 2], [x, y])
    sympy.integrate(sympy.sin(x) * x, (x, 0, 1))
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.factor(x**2 - 1), sympy.expand((x + 1) ** 3), sympy.diff(x**3, x)
    sympy.factorint(84), sympy.Matrix([[1, 2], [3, 4]]).det(), sympy.limit(sympy.sin(x) / x, x, 0)
    str(sympy.sqrt(8) / 3), sympy.N(sympy.pi, 20), sympy.sympify("x + 1/2")


class Zygote:
    """Reads requests and answers each when it is done, in any order."""

    def __init__(self, options: dict[str, Any], screen: Screen) -> None:
        self._loop = Loop()
        self._nursery = Nursery(
            self._loop, screen, ready=options["prefork"], tmp_bytes=options["tmp_bytes"]
        )
        self._parking = Parking(places=options["parked"], memory_bytes=options["parked_bytes"])
        self._used = False
        """A first request was answered; from then on interpreters are forked ahead. Before, they
        would make a checkpoint large, and that first request wait."""

        self._courses: dict[int, Course] = {}
        self._jobs = Jobs(self._loop, self._nursery, self._parking, Slots(options["parallel"]))

    def serve(self) -> None:
        self._loop.spawn(self._listen())
        self._loop.spawn(self._sweep())
        self._write({"ready": True, "python": sys.version.split()[0]})
        self._loop.run(lambda: self._used and self._nursery.grow())

    async def _listen(self) -> None:
        reader = frames.Reader()
        while True:
            if not await self._loop.readable([HOST_IN], time.monotonic() + 3600):
                continue
            data = os.read(HOST_IN, 2**20)
            if not data:
                os._exit(0)
            for message in reader.feed(data):
                self._loop.spawn(self._answer(message))

    async def _answer(self, message: frames.Message) -> None:
        if message["op"] == "wake":
            self._nursery.grow()
            return
        answer: frames.Message = {"id": message["id"]}
        if message["op"] == "cancel":
            if course := self._courses.get(message["id"]):
                course.cancel()
            return
        if message["op"] == "execute":
            job = Job(
                session=message["session"],
                seed=message["seed"],
                limits=Limits(**message["limits"]),
                path=message["path"],
                siblings=message["siblings"],
            )
            course = self._courses[message["id"]] = Course()
            result = await self._jobs.execute(job, course)
            del self._courses[message["id"]]
            answer["outcomes"] = [outcome.to_message() for outcome in result.outcomes]
            answer["cpu"] = result.cpu_seconds
            answer["path_failed"] = result.path_failed
            self._used = True
        elif message["op"] == "judge":
            outcome = await self._jobs.judge(
                message["answer"], message["reference"], Limits(**message["limits"])
            )
            answer["limit"] = outcome.limit
            if outcome.report:
                answer["verdict"] = [
                    outcome.report.status, outcome.report.type, outcome.report.message,
                ]  # fmt: skip
        elif message["op"] == "ping":
            answer["parked"] = len(self._parking)
            answer["zygote_cpu"] = time.process_time()
            answer["parked_cpu"] = self._parking.cpu_seconds()
        self._write(answer)

    async def _sweep(self) -> None:
        while True:
            await self._loop.readable([], time.monotonic() + SWEEP_SECONDS)
            self._jobs.sweep()

    def _write(self, message: frames.Message) -> None:
        data = frames.encode(message)
        while data:
            data = data[os.write(HOST_OUT, data) :]


if __name__ == "__main__":
    main()
