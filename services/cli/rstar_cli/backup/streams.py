"""Streams and buckets to a file and back, by nats-server's own snapshots.

A snapshot keeps what copying messages would lose: sequences, which are page tokens, fencing
tokens and the keys of attempts; times, by which streams forget; and durable consumers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from rstar_cli.backup.manifest import StreamEntry
from rstar_common import streams
from rstar_common.errors import Conflict, InvalidInput, Unavailable

ORDER = (
    # Who drives comes before what it drives: restored, it asks again for what is there already.
    f"KV_{streams.RUN_RECORDS}",
    f"KV_{streams.JOB_RECORDS}",
    # Work before its effects: what was done in between is seen to be done and not done again.
    streams.BATCHES,
    streams.WORK,
    streams.JOURNAL,
    f"KV_{streams.BATCH_RECORDS}",
    f"KV_{streams.SEARCH_RECORDS}",
    streams.RESULTS,
    streams.DEAD,
    streams.EVENTS,
    f"KV_{streams.POINTERS}",
    f"KV_{streams.ATTEMPTS}",
    f"KV_{streams.USAGE}",
)
"""In which streams are saved while the system works; objects, which they name, come after."""

SECONDS = 60.0
"""Longest wait for the next piece."""

PIECE_BYTES = 128 * 1024
_NOT_FOUND = 10059
_ENDED = "204"


async def state_of(client: Client, name: str) -> dict[str, Any] | None:
    """What the server says of a stream; None if there is none."""
    answer = await _ask(client, f"STREAM.INFO.{name}", {})
    if answer.get("error", {}).get("err_code") == _NOT_FOUND:
        return None
    return _checked(answer, name)


async def save(client: Client, name: str, path: Path) -> StreamEntry | None:
    """Write a snapshot of a stream; None if there is no such stream.

    Raises:
        Unavailable: the server stopped half-way.
    """
    if await state_of(client, name) is None:
        return None
    pieces: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=pieces.put)
    digest, size = hashlib.sha256(), 0
    scratch = path.with_suffix(".part")
    try:
        request = {"deliver_subject": inbox, "jsck": True, "chunk_size": PIECE_BYTES}
        about = _checked(await _ask(client, f"STREAM.SNAPSHOT.{name}", request), name)
        with scratch.open("wb") as file:
            async with asyncio.timeout(None) as patience:
                while True:
                    patience.reschedule(asyncio.get_running_loop().time() + SECONDS)
                    piece = await pieces.get()
                    if not piece.data:
                        break
                    file.write(piece.data)
                    digest.update(piece.data)
                    size += len(piece.data)
                    if piece.reply:  # the server waits before it sends much more
                        await piece.respond(b"")
        status = (piece.headers or {}).get("Status", _ENDED)
        if status != _ENDED:
            raise Unavailable(f"snapshot of {name}: the server ended it with status {status}")
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable(f"snapshot of {name}: {error}") from error
    finally:
        await subscription.unsubscribe()
    scratch.replace(path)
    return StreamEntry(
        name=name,
        sha256=digest.hexdigest(),
        bytes=size,
        messages=about["state"]["messages"],
        last_sequence=about["state"]["last_seq"],
        config=about["config"],
        state=about["state"],
    )


async def restore(client: Client, entry: StreamEntry, path: Path) -> None:
    """Bring a stream back from its snapshot, in place of an empty one if there is one.

    Raises:
        Conflict: there is one that holds messages.
        Unavailable: the server did not take it, or not all of it.
    """
    there = await state_of(client, entry.name)
    if there is not None:
        if there["state"]["messages"]:
            raise Conflict(f"{entry.name} holds {there['state']['messages']} messages already")
        _checked(await _ask(client, f"STREAM.DELETE.{entry.name}", {}), entry.name)
    request = {"config": entry.config, "state": entry.state}
    answer = _checked(await _ask(client, f"STREAM.RESTORE.{entry.name}", request), entry.name)
    target = answer["deliver_subject"]
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                reply = await client.request(target, piece, timeout=SECONDS)
                if reply.data:
                    _checked(json.loads(reply.data), entry.name)
        last = await client.request(target, b"", timeout=SECONDS)
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable(f"restore of {entry.name}: {error}") from error
    state = _checked(json.loads(last.data), entry.name)["state"]
    if state["last_seq"] != entry.last_sequence:
        raise Unavailable(
            f"restore of {entry.name}: {state['messages']} messages up to {state['last_seq']},"
            f" saved were {entry.messages} up to {entry.last_sequence}"
        )


async def _ask(client: Client, what: str, request: object) -> dict[str, Any]:
    try:
        payload = json.dumps(request).encode()
        reply = await client.request(f"$JS.API.{what}", payload, timeout=SECONDS)
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable(f"JetStream: {what}: {error}") from error
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _checked(answer: dict[str, Any], name: str) -> dict[str, Any]:
    if error := answer.get("error"):
        words = f"{name}: {error.get('description', 'refused')}"
        raise InvalidInput(words) if error.get("code") == 400 else Unavailable(words)
    return answer
