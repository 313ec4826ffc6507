"""SGLang servers and a router that do as they are told, over real HTTP on free ports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.policy_scripted import token_ids

Answer = Callable[[str, dict[str, Any]], Awaitable[tuple[int, dict[str, Any] | list[Any]]]]
"""From a path and a body to a status and a body."""

STEP = token_ids("x = 1")


class ScriptedWorker:
    """As much of an SGLang server as the policy service asks for."""

    def __init__(self) -> None:
        self.version = "as-started"
        self.loaded: list[str] = []
        self.aborted: set[str] = set()
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/generate":
            self.asked.append(body["rid"])
            await self.gate.wait()
            return 200, self._sample(body["rid"])
        if path == "/abort_request":
            self.aborted.add(body["rid"])
        if path == "/update_weights_from_disk":
            self.version = body["weight_version"]
            self.loaded.append(self.version)
        return 200, {"success": True, "weight_version": self.version}

    def _sample(self, rid: str) -> dict[str, Any]:
        return {
            "meta_info": {
                "finish_reason": {"type": "abort" if rid in self.aborted else "stop"},
                "weight_version": self.version,
                "output_token_logprobs": [[-1.0, token, None] for token in STEP],
            }
        }


class ScriptedRouter:
    """Gives each call to the next worker that is up; passes on generations alone."""

    def __init__(self, workers: list[ScriptedWorker]) -> None:
        self.workers = workers
        self.refused: list[str] = []
        self._turn = 0

    async def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/generate":
            if not isinstance(body["rid"], str):
                return 422, "rid: invalid type: sequence, expected a string"
            self._turn += 1
            return await self.workers[self._turn % len(self.workers)].answer(path, body)
        if path != "/health":
            self.refused.append(path)
            return 404, {"error": "no such route"}
        return 200, {}


@asynccontextmanager
async def serving_http(answer: Answer) -> AsyncGenerator[str]:
    """Yield the URL of a server that gives these answers."""
    server = await asyncio.start_server(
        lambda reader, writer: _handle(answer, reader, writer), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


async def _handle(
    answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One request a connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lengths = [
            int(line.partition(":")[2])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length")
        ]
        size = sum(lengths)
        body = json.loads(await reader.readexactly(size)) if size else {}
        status, reply = await answer(head.split(" ", 2)[1], body)
        data = json.dumps(reply).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller has gone
    finally:
        writer.close()
