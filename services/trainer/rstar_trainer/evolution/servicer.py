"""The gRPC face of self-evolution."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from rstar.v1 import evolution_pb2, evolution_pb2_grpc
from rstar_common.artifacts import ObjectStore
from rstar_common.rpc import remaining_seconds, serving
from rstar_trainer.evolution.archive import read_archive, write_archive
from rstar_trainer.evolution.branching import still_planned
from rstar_trainer.evolution.controller import Evolution
from rstar_trainer.evolution.store import ENDED, RunStore
from rstar_trainer.pages import page_of

if TYPE_CHECKING:
    ServicerContext = grpc.aio.ServicerContext[Any, Any]

LONGEST_CALL_SECONDS = 600.0
CHUNK_BYTES = 2**20


class EvolutionServicer(evolution_pb2_grpc.EvolutionServiceServicer):
    """Serves `rstar.v1.EvolutionService`."""

    def __init__(
        self, runs: RunStore, evolution: Evolution, store: ObjectStore, *, scratch: Path
    ) -> None:
        """Archives pass through `scratch`, a directory with room for them."""
        self._scratch = scratch
        self._runs = runs
        self._store = store
        self._evolution = evolution

    async def StartRun(
        self, request: evolution_pb2.StartRunRequest, context: ServicerContext
    ) -> evolution_pb2.StartRunResponse:
        """Begin a run, or only say what it would do."""
        async with serving(context, "StartRun"):
            remaining_seconds(context, at_most=LONGEST_CALL_SECONDS)
            run, prepared = await self._evolution.planned(
                request.run_id, request.recipe, request.branch
            )
            if not request.dry_run:
                run = await self._evolution.start(run, prepared)
            plan = still_planned(prepared.plan, run)
            return evolution_pb2.StartRunResponse(run=run, plan=plan)
        raise AssertionError("unreachable: abort raises")

    async def GetRun(
        self, request: evolution_pb2.GetRunRequest, context: ServicerContext
    ) -> evolution_pb2.GetRunResponse:
        """A run as it is now."""
        async with serving(context, "GetRun"):
            return evolution_pb2.GetRunResponse(run=self._runs.get(request.run_id))
        raise AssertionError("unreachable: abort raises")

    async def ListRuns(
        self, request: evolution_pb2.ListRunsRequest, context: ServicerContext
    ) -> evolution_pb2.ListRunsResponse:
        """Runs, newest first."""
        async with serving(context, "ListRuns"):
            page = page_of(
                self._runs.all()[::-1],
                size=request.page_size,
                token=request.page_token,
                key=lambda run: run.run_id,
            )
            return evolution_pb2.ListRunsResponse(runs=page.items, next_page_token=page.next_token)
        raise AssertionError("unreachable: abort raises")

    async def WatchRun(
        self, request: evolution_pb2.WatchRunRequest, context: ServicerContext
    ) -> AsyncIterator[evolution_pb2.WatchRunResponse]:
        """A run whenever it changes, until it ends."""
        async with serving(context, "WatchRun"):
            told: evolution_pb2.Run | None = None
            while told is None or told.state not in ENDED:
                run = self._runs.get(request.run_id)
                if run == told:
                    await self._runs.next_change()
                    continue
                told = run
                yield evolution_pb2.WatchRunResponse(run=run)

    async def CancelRun(
        self, request: evolution_pb2.CancelRunRequest, context: ServicerContext
    ) -> evolution_pb2.CancelRunResponse:
        """End a run."""
        async with serving(context, "CancelRun"):
            run = await self._evolution.cancel(request.run_id)
            return evolution_pb2.CancelRunResponse(run=run)
        raise AssertionError("unreachable: abort raises")

    def _archive_directory(self) -> tempfile.TemporaryDirectory[str]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="archive-", dir=self._scratch)

    async def ExportRun(
        self, request: evolution_pb2.ExportRunRequest, context: ServicerContext
    ) -> AsyncIterator[evolution_pb2.ExportRunResponse]:
        """A run as an archive, in chunks."""
        async with serving(context, "ExportRun"):
            run = self._runs.get(request.run_id)
            with self._archive_directory() as directory:
                path = Path(directory) / "run.tar"
                await write_archive(self._store, run, path)
                with path.open("rb") as file:
                    while chunk := file.read(CHUNK_BYTES):
                        yield evolution_pb2.ExportRunResponse(chunk=chunk)

    async def ImportRun(
        self,
        request_iterator: AsyncIterator[evolution_pb2.ImportRunRequest],
        context: ServicerContext,
    ) -> evolution_pb2.ImportRunResponse:
        """Take an archive in."""
        async with serving(context, "ImportRun"):
            with self._archive_directory() as directory:
                path = Path(directory) / "run.tar"
                with path.open("wb") as file:
                    async for request in request_iterator:
                        file.write(request.chunk)
                run = await read_archive(self._store, path, welcome=self._runs.check_import)
            return evolution_pb2.ImportRunResponse(run=await self._runs.add(run))
        raise AssertionError("unreachable: abort raises")
