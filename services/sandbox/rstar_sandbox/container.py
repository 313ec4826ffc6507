"""One running sandbox: a gVisor container with a zygote in it, and the pipes to ask it.

Believes nothing it reads: every answer is checked before it is passed on. Knows nothing of
routing or retries.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from rstar_common.errors import Unavailable
from rstar_sandbox.bundle import GuestOptions, write_bundle
from rstar_sandbox.guest import frames
from rstar_sandbox.rootfs import Rootfs
from rstar_sandbox.runsc import CGROUP_PARENT, Runsc
from rstar_sandbox.usage import cpu_seconds

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""A sandbox that is not ready by then has a fault that waiting will not cure."""

REVIVAL_SECONDS = 10.0
"""One restored is up in a fraction of a second, or never."""

FAREWELL_SECONDS = 3.0
"""How long a sandbox may take to end once its input is closed."""

PING_SECONDS = 5.0
PING_WAIT_SECONDS, PING_WAITS = 1.0, 30
"""The zygote answers between two forks, so a healthy one needs milliseconds. Waits are counted
rather than seconds, so that a machine that stood still for a minute has used up one of them."""

_READ_BYTES = 2**18


class SandboxDied(Exception):
    """The sandbox ended, or was ended, before it answered."""


class Container:
    """A sandbox that is up. Asked from any task; answers come in any order."""

    def __init__(self, sandbox_id: str, process: asyncio.subprocess.Process) -> None:
        self.id = sandbox_id
        self._process = process
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[frames.Message]] = {}
        self._reader = frames.Reader()
        self.last_words: deque[str] = deque(maxlen=20)
        self.ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    @property
    def pid(self) -> int:
        """Of its process on the host, the root of a tree of them."""
        return self._process.pid

    async def ask(
        self, message: frames.Message, *, timeout_seconds: float | None
    ) -> frames.Message:
        """Send a request and wait for its answer.

        Whoever stops waiting, by timeout or cancellation, stops the work too.

        Raises:
            SandboxDied: it ended first.
            TimeoutError: no answer in time. That alone says nothing about its health.
        """
        if not self.alive:
            raise SandboxDied("it had ended before")
        number = next(self._ids)
        self._send(message | {"id": number})
        answer: asyncio.Future[frames.Message] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            async with asyncio.timeout(timeout_seconds):
                return await answer
        finally:
            del self._pending[number]
            if not answer.done() or answer.cancelled():
                with suppress(SandboxDied):
                    self._send({"op": "cancel", "id": number})

    def _send(self, message: frames.Message) -> None:
        """Write a message.

        Raises:
            SandboxDied: its input is closed. Nothing more is sent to it: whoever tries again must
                not meet the same sandbox.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frames.encode(message))
        except RuntimeError as error:  # uvloop's, of a pipe whose other end is gone
            self.end()
            raise SandboxDied("its input is closed") from error

    async def watch(self) -> None:
        """Ask for a sign of life now and then; end the sandbox when there is none."""
        while self.alive:
            await asyncio.sleep(PING_SECONDS)
            with suppress(SandboxDied):
                await self._ping()

    async def _ping(self) -> None:
        """Ask once, wait patiently, end it.

        Raises:
            SandboxDied: it ended meanwhile.
        """
        ping = asyncio.create_task(self.ask({"op": "ping"}, timeout_seconds=None))
        used = 0.0
        try:
            for wait in range(PING_WAITS):
                await asyncio.wait([ping], timeout=PING_WAIT_SECONDS)
                if ping.done():
                    ping.result()
                    return
                if not wait:
                    used = await asyncio.to_thread(cpu_seconds, self.pid)
        finally:
            ping.cancel()
        used = await asyncio.to_thread(cpu_seconds, self.pid) - used
        # One that computes is starved by what runs in it; one that does not is stuck, or the host
        # has no time for it.
        logger.warning(
            "a sandbox gives no sign of life",
            extra={"sandbox": self.id, "cpu_seconds": round(used, 2)},
        )
        self.end()

    async def serve(self) -> None:
        """Deliver answers until the sandbox ends."""
        assert self._process.stdout is not None
        try:
            while data := await self._process.stdout.read(_READ_BYTES):
                for message in self._reader.feed(data):
                    answer = self._pending.get(message.get("id", 0))
                    if answer and not answer.done():
                        answer.set_result(message)
        except ValueError as error:
            logger.warning("a sandbox speaks gibberish: %s", error, extra={"sandbox": self.id})
        finally:
            self.end()

    async def ready(self) -> None:
        """Wait for its first words.

        Raises:
            SandboxDied: it ended instead.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                while data := await self._process.stdout.read(_READ_BYTES):
                    if self._reader.feed(data):
                        return
        except (TimeoutError, ValueError) as error:
            raise SandboxDied(f"it did not become ready: {error!r}") from error
        raise SandboxDied("it ended while starting")

    async def sign_of_life(self) -> None:
        """Wait for one of a sandbox that was restored.

        Raises:
            SandboxDied: there is none.
        """
        try:
            await self.ask({"op": "ping"}, timeout_seconds=REVIVAL_SECONDS)
        except TimeoutError as error:
            raise SandboxDied("it did not come back to life") from error

    def wake(self) -> None:
        """Let it fork a first interpreter ahead: it is going to be used."""
        with suppress(SandboxDied):
            self._send({"op": "wake"})

    async def listen_to_complaints(self) -> None:
        """Log what the sandbox says on stderr. Never untrusted text: steps have none."""
        assert self._process.stderr is not None
        with suppress(ValueError):  # a line beyond all measure ends the listening
            async for line in self._process.stderr:
                text = line.decode(errors="replace").rstrip()
                self.last_words.append(text)
                logger.debug("sandbox: %s", text, extra={"sandbox": self.id})

    def end(self) -> None:
        """Cut it off: whoever waits is told, and it ends as its input closes."""
        self.ended.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(SandboxDied("it ended"))
        if self._process.stdin is not None:
            self._process.stdin.close()


@asynccontextmanager
async def container(
    runsc: Runsc,
    rootfs: Rootfs,
    options: GuestOptions,
    *,
    sandbox_id: str,
    bundles: Path,
    platform: str,
    memory_bytes: int,
    cgroups: bool,
    image: Path | None = None,
) -> AsyncGenerator[Container]:
    """Run a sandbox while the block lasts. It leaves no process and no state behind.

    With an `image` it goes on from that checkpoint instead of starting.

    Raises:
        Unavailable: it does not start; the message ends with what runsc had to say.
    """
    bundle = bundles / sandbox_id
    cgroup = f"/{CGROUP_PARENT}/{sandbox_id}" if cgroups else ""
    write_bundle(bundle, rootfs, options, memory_bytes=memory_bytes, cgroup=cgroup)
    command = (
        runsc.restore(sandbox_id, bundle, image, platform=platform, cgroups=cgroups)
        if image
        else runsc.run(sandbox_id, bundle, platform=platform, cgroups=cgroups)
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    box = Container(sandbox_id, process)
    tasks = [asyncio.create_task(box.listen_to_complaints())]
    try:
        try:
            if not image:
                await box.ready()
            tasks.append(asyncio.create_task(box.serve()))
            if image:
                await box.sign_of_life()
        except SandboxDied as error:
            box.end()
            await runsc.destroy(sandbox_id)
            await asyncio.wait(tasks, timeout=FAREWELL_SECONDS)
            said = " | ".join(box.last_words)
            raise Unavailable(f"a sandbox does not start: {error}; runsc said: {said}") from error
        tasks.append(asyncio.create_task(box.watch()))
        yield box
    finally:
        box.end()
        await _bury(runsc, process, sandbox_id)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        (bundle / "config.json").unlink()
        bundle.rmdir()


async def _bury(runsc: Runsc, process: asyncio.subprocess.Process, sandbox_id: str) -> None:
    try:
        async with asyncio.timeout(FAREWELL_SECONDS):
            await process.wait()
    except TimeoutError:
        await runsc.destroy(sandbox_id)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    else:
        await runsc.destroy(sandbox_id)
