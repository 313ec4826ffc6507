"""A simulated engine that speaks as much of SGLang's HTTP as the policy service uses.

    python -m rstar_policy.bench_engine --tokens-per-second 50000

prints its port as JSON. Lengths are a hash of the sample's seed; waiting is real; a
generation ends with the first stop id it was given. Log-probabilities come back as SGLang
sends them, one entry a token, so that reading them costs what it costs in earnest.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import sys
from statistics import NormalDist

from rstar_common.processor_sharing import EngineSpeed, ProcessorSharing

RUNNING = 1_024
PER_SEQUENCE = 120.0
MEDIAN_TOKENS = 60
SIGMA = 0.6
FIRST_ID = 300
IDS = 500
"""Ids are drawn from this range: any that the bundled tokenizer has and that are no markers."""

_ENTRIES = [f"[{-(i + 1) / 977},{FIRST_ID + i},null]" for i in range(IDS)]


def length_of(seed: int, limit: int) -> int:
    """Tokens of the sample with this seed."""
    digest = hashlib.sha256(f"len|{seed}".encode()).digest()
    unit = (int.from_bytes(digest[:8], "big") + 0.5) / 2**64
    drawn = round(MEDIAN_TOKENS * math.exp(SIGMA * NormalDist().inv_cdf(unit)))
    return min(limit, max(2, drawn))


class SimulatedEngine:
    """Sequences that share an engine's speed."""

    def __init__(self, speed: EngineSpeed) -> None:
        self._loop = asyncio.get_running_loop()
        self._sharing = ProcessorSharing(speed)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def generate(self, body: dict[str, object]) -> str:
        """The answer to `/generate`, as JSON."""
        prompts, sampling = body["input_ids"], body["sampling_params"]
        assert isinstance(prompts, list)
        assert isinstance(sampling, list)
        lengths = [length_of(each["sampling_seed"], each["max_new_tokens"]) for each in sampling]
        tickets: dict[int, asyncio.Future[None]] = {
            self._sharing.submit(self._loop.time(), length): self._loop.create_future()
            for length in lengths
        }
        self._waiting |= tickets
        self._wake()
        await asyncio.gather(*tickets.values())
        outputs = (
            _output(each, length, len(prompt))
            for each, length, prompt in zip(sampling, lengths, prompts, strict=True)
        )
        return f"[{','.join(outputs)}]"

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._sharing.next_end()
        if end is not None:
            self._timer = self._loop.call_at(end, self._event)

    def _event(self) -> None:
        for ticket in self._sharing.completed(self._loop.time()):
            self._waiting.pop(ticket).set_result(None)
        self._wake()


def _output(sampling: dict[str, object], length: int, prompt_tokens: int) -> str:
    stops, seed = sampling["stop_token_ids"], sampling["sampling_seed"]
    assert isinstance(stops, list)
    assert isinstance(seed, int)
    entries = [_ENTRIES[(seed + 7 * i) % IDS] for i in range(length - 1)]
    entries.append(f"[-0.01,{stops[0]},null]")
    return (
        '{"meta_info":{"finish_reason":{"type":"stop"},"prompt_tokens":'
        f'{prompt_tokens},"cached_tokens":{prompt_tokens - 1},"completion_tokens":{length},'
        f'"weight_version":"default","output_token_logprobs":[{",".join(entries)}]}}}}'
    )


async def handle(
    engine: SimulatedEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One HTTP/1.1 connection, kept alive."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            size = 0
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    size = int(value)
            body = json.loads(await reader.readexactly(size)) if size else {}
            reply = await engine.generate(body) if path == "/generate" else "{}"
            data = reply.encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
                + str(len(data)).encode()
                + b"\r\n\r\n"
                + data
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller has gone
    finally:
        writer.close()


async def serve(speed: EngineSpeed) -> None:
    """Serve until killed."""
    engine = SimulatedEngine(speed)
    server = await asyncio.start_server(
        lambda reader, writer: handle(engine, reader, writer), "127.0.0.1", 0, limit=2**22
    )
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m rstar_policy.bench_engine")
    parser.add_argument("--tokens-per-second", type=float, default=50_000.0)
    options = parser.parse_args()
    speed = EngineSpeed(running=RUNNING, per_sequence=PER_SEQUENCE, total=options.tokens_per_second)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(speed))


if __name__ == "__main__":
    main()
