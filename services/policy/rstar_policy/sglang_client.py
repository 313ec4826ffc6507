"""SGLang over HTTP: generate, abort, change weights. One place translates its failures.

The n candidates of a query travel as one HTTP call that holds n requests (n calls to a
router, and where the slowest are not waited for), each with an id and a seed of its own; SGLang
schedules them separately on the prefix they share.

A call that is cancelled aborts its requests by name, because SGLang notices a closed connection
only after seconds, and goes on doing so until it is answered, because SGLang forgets an abort that
overtakes its request. An abort ends every request whose id begins with the name, so each id
begins with those before it: one abort mostly does, and 64 would keep the engine for half a second.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from rstar_common.errors import InvalidInput, Overloaded, RstarError, Unavailable
from rstar_policy import metrics
from rstar_policy.generation import Generation, Sampling

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
CONTROL_SECONDS = 10.0
"""For calls that do not generate; the scheduler may be busy with a long prefill."""

UPDATE_SECONDS = 900.0
"""For reading weights from a disk; an engine that takes longer hangs, and is replaced."""

ABORTED_SECONDS = 0.01
"""Until an aborted call is answered; then it is aborted again."""

Requests = Mapping[str, asyncio.Task[Any]]
"""What will be answered, by request id; several requests may wait for one answer."""


class SglangClient:
    """One SGLang server, or a router and the servers behind it. Implements `Generator`."""

    def __init__(self, url: str, *, api_key: str, workers: Sequence[str] = ()) -> None:
        """`workers` are the servers behind a router at `url`.

        A router chooses a server for each call and knows nothing of weights and aborts: those
        go to every worker.
        """
        self._workers = [SglangClient(worker, api_key=api_key) for worker in workers]
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
        self._to_abort: asyncio.Queue[Requests] = asyncio.Queue()
        self._calls: set[asyncio.Task[Any]] = set()
        """Under way; they outlive a caller that was cancelled."""

    async def aclose(self) -> None:
        """End the calls under way and close the connections."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._http.aclose()
        for worker in self._workers:
            await worker.aclose()

    @property
    def servers(self) -> Sequence[SglangClient]:
        """Those that hold weights: the workers, or this one."""
        return self._workers or [self]

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> list[Generation]:
        """Sample one sequence for each seed, in the order of the seeds.

        Raises:
            InvalidInput: the engine says that the prompt cannot be served.
            Overloaded: its queue is full.
            Unavailable: it is down, or failed.
        """
        call_id = uuid.uuid4().hex
        request_ids = [call_id + "." * index for index in range(len(sampling.seeds))]
        parameters = [
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
        ]
        requests = self._send(
            prompt_ids, request_ids, parameters, alone=bool(self._workers or sampling.enough)
        )
        try:
            outputs = await self._answers(requests, sampling.enough)
        except asyncio.CancelledError:
            self._to_abort.put_nowait(requests)
            raise
        if len(outputs) != len(request_ids):
            raise Unavailable("engine: an answer of another form than the request's")
        return [_generation(output) for output in outputs]

    def _send(
        self,
        prompt_ids: Sequence[int],
        request_ids: Sequence[str],
        parameters: Sequence[object],
        *,
        alone: bool,
    ) -> Requests:
        """Begin the call, or one for each request where they go `alone`."""
        if not alone:
            prompts = [list(prompt_ids)] * len(parameters)
            return dict.fromkeys(request_ids, self._begin(prompts, request_ids, parameters))
        # A router's own schema knows one request a call, and refuses a list of ids with 422.
        return {
            request_id: self._begin(list(prompt_ids), request_id, each)
            for request_id, each in zip(request_ids, parameters, strict=True)
        }

    async def _answers(self, requests: Requests, enough: int) -> list[Any]:
        """What each request came to. Whoever cancels this leaves them running."""
        calls = set(requests.values())
        pending = calls
        while enough and pending and len(calls) - len(pending) < enough:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if enough and pending:
            # They answer at once, with what there is of them.
            self._to_abort.put_nowait(requests)
        await asyncio.wait(calls)
        answers = [call.result() for call in dict.fromkeys(requests.values())]
        return [one for each in answers for one in (each if isinstance(each, list) else [each])]

    def _begin(self, input_ids: object, rid: object, sampling_params: object) -> asyncio.Task[Any]:
        body = {
            "input_ids": input_ids,
            "rid": rid,
            "sampling_params": sampling_params,
            "return_logprob": True,
        }
        call = asyncio.create_task(self._post("/generate", body))
        self._calls.add(call)
        call.add_done_callback(self._answered)
        return call

    def _answered(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # nobody's business where its caller was cancelled

    async def abort_cancelled(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._abort(await self._to_abort.get()))

    async def _abort(self, requests: Requests) -> None:
        """Abort them until all are answered."""
        while pending := {call for call in requests.values() if not call.done()}:
            for request_id, call in requests.items():
                if not call.done():
                    await asyncio.gather(*(each.abort(request_id) for each in self.servers))
                    await asyncio.wait(pending, timeout=ABORTED_SECONDS)

    async def abort(self, request_id: str) -> None:
        """End one request; no matter if it is unknown."""
        try:
            await self._post("/abort_request", {"rid": request_id}, CONTROL_SECONDS)
        except RstarError as error:
            # An engine that is down has freed it already; one that is full is asked again.
            logger.info("abort: %s", error)

    async def abort_all(self) -> None:
        body = {"abort_all": True}
        await self._everywhere(lambda one: one._post("/abort_request", body, CONTROL_SECONDS))

    async def update_weights(self, directory: Path, *, version: str) -> None:
        await self._everywhere(lambda one: one._update_weights(directory, version))

    async def ensure_weights(self, directory: Path, *, version: str) -> None:
        """As `update_weights`, at those servers alone that hold others."""

        async def ensure(server: SglangClient) -> None:
            if (await server.model_info()).get("weight_version") != version:
                await server._update_weights(directory, version)

        await self._everywhere(ensure)

    async def _update_weights(self, directory: Path, version: str) -> None:
        # Prefixes computed with the old weights would be a silent error: flush them.
        body = {
            "model_path": str(directory),
            "weight_version": version,
            "flush_cache": True,
        }
        reply = await self._post("/update_weights_from_disk", body, UPDATE_SECONDS)
        if not (isinstance(reply, dict) and reply.get("success")):
            raise Unavailable(f"engine: weights not taken: {reply}")

    async def _everywhere(self, act: Callable[[SglangClient], Awaitable[object]]) -> None:
        """Do it at every server; a worker that is down is its router's business.

        Raises:
            Unavailable: none did it.
        """
        outcomes = await asyncio.gather(*map(act, self.servers), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if len(failures) == len(outcomes) or not isinstance(failure, Unavailable):
                raise failure
            logger.warning("a worker is left out: %s", failure)

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
        try:
            return await self._request("POST", path, body, timeout_seconds)
        except RstarError:
            # Probes do not count: until an engine is up all of them fail.
            metrics.ENGINE_FAILURES.inc()
            raise

    async def _request(
        self, method: str, path: str, body: object, timeout_seconds: float | None
    ) -> Any:
        timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS)
        try:
            response = await self._http.request(method, path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise Unavailable(f"engine: {path}: {error or type(error).__name__}") from error
        if response.is_success:
            return response.json() if _is_json(response) else None
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
