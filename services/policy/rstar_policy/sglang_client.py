"""SGLang over HTTP: generate, abort, change weights. One place translates its failures.

The n candidates of a query travel as one HTTP call that holds n requests, each with an id
and a seed of its own; SGLang schedules them separately on the prefix they share. A call
that is cancelled aborts each of them by name, because SGLang notices a closed connection
only after seconds.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from rstar_common.errors import InvalidInput, Overloaded, Unavailable
from rstar_policy import metrics
from rstar_policy.generation import Generation, Sampling

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
CONTROL_SECONDS = 10.0
"""For calls that do not generate; the scheduler may be busy with a long prefill."""


class SglangClient:
    """One SGLang server or router. Implements `Generator`."""

    def __init__(self, url: str, *, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            # How long a generation may take is the caller's business, by cancelling.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            # Admission bounds the number of calls; a second queue here would hide it.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )
        self._to_abort: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> list[Generation]:
        """Sample one sequence for each seed, in the order of the seeds.

        Raises:
            InvalidInput: the engine says that the prompt cannot be served.
            Overloaded: its queue is full.
            Unavailable: it is down, or failed.
        """
        call_id = uuid.uuid4().hex
        request_ids = [f"{call_id}-{index}" for index in range(len(sampling.seeds))]
        body = {
            "input_ids": [list(prompt_ids)] * len(request_ids),
            "rid": request_ids,
            "sampling_params": [
                {
                    "max_new_tokens": sampling.max_new_tokens,
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "sampling_seed": seed,
                    "stop_token_ids": list(sampling.stop_token_ids),
                    "stop": list(sampling.stop_texts),
                    "no_stop_trim": True,
                    "skip_special_tokens": False,
                }
                for seed in sampling.seeds
            ],
            "return_logprob": True,
        }
        try:
            outputs = await self._post("/generate", body)
        except asyncio.CancelledError:
            self._to_abort.put_nowait(request_ids)
            raise
        if not isinstance(outputs, list) or len(outputs) != len(request_ids):
            raise Unavailable("engine: an answer of another form than the request's")
        return [_generation(output) for output in outputs]

    async def abort_cancelled(self) -> None:
        while True:
            request_ids = await self._to_abort.get()
            async with asyncio.TaskGroup() as group:
                for request_id in request_ids:
                    group.create_task(self._abort(request_id))

    async def _abort(self, request_id: str) -> None:
        try:
            await self._post("/abort_request", {"rid": request_id}, CONTROL_SECONDS)
        except Unavailable as error:
            # An engine that is down has freed it already.
            logger.info("abort: %s", error)

    async def abort_all(self) -> None:
        await self._post("/abort_request", {"abort_all": True}, CONTROL_SECONDS)

    async def update_weights(self, directory: Path, *, version: str) -> None:
        # Prefixes computed with the old weights would be a silent error: flush them.
        body = {
            "model_path": str(directory),
            "weight_version": version,
            "flush_cache": True,
        }
        reply = await self._post("/update_weights_from_disk", body)
        if not (isinstance(reply, dict) and reply.get("success")):
            raise Unavailable(f"engine: weights not taken: {reply}")

    async def model_info(self) -> dict[str, Any]:
        """What the engine serves. Raises `Unavailable`."""
        reply = await self._request("GET", "/model_info", None, CONTROL_SECONDS)
        return reply if isinstance(reply, dict) else {}

    async def check_health(self, timeout_seconds: float) -> None:
        """Have the engine generate one token, unless it is generating anyway.

        Raises:
            Unavailable: it did not within `timeout_seconds`.
        """
        await self._request("GET", "/health", None, timeout_seconds)

    async def _post(self, path: str, body: object, timeout_seconds: float | None = None) -> Any:
        return await self._request("POST", path, body, timeout_seconds)

    async def _request(
        self, method: str, path: str, body: object, timeout_seconds: float | None
    ) -> Any:
        timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS)
        try:
            response = await self._http.request(method, path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            metrics.ENGINE_FAILURES.inc()
            raise Unavailable(f"engine: {path}: {error or type(error).__name__}") from error
        if response.is_success:
            return response.json() if _is_json(response) else None
        metrics.ENGINE_FAILURES.inc()
        message = f"engine: {path}: {response.status_code}: {response.text[:500]}"
        if response.status_code == httpx.codes.BAD_REQUEST and path == "/generate":
            raise InvalidInput(message, field="path")
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Overloaded(message)
        raise Unavailable(message)


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")


def _generation(output: dict[str, Any]) -> Generation:
    meta = output["meta_info"]
    # Each entry is (logprob, token id, text or null).
    entries = meta.get("output_token_logprobs") or []
    return Generation(
        token_ids=[int(entry[1]) for entry in entries],
        logprobs=[float(entry[0]) for entry in entries],
        aborted=(meta.get("finish_reason") or {}).get("type") == "abort",
        prompt_tokens=meta.get("prompt_tokens", 0),
        cached_tokens=meta.get("cached_tokens", 0),
        weight_version=meta.get("weight_version", ""),
    )
