"""The checkpoints there are, and the two that are promoted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from nats.js import JetStreamContext

from rstar_common import checkpoints
from rstar_common.artifacts import ObjectStore
from rstar_common.bus import publish_once
from rstar_common.checkpoints import BOOTSTRAP, MANIFEST, PREFIX, Manifest, Model, Pointers
from rstar_common.errors import Conflict, InvalidInput, NotFound
from rstar_common.streams import CHECKPOINT_PROMOTED

logger = logging.getLogger(__name__)

MODELS: tuple[Model, ...] = ("policy", "ppm")

SEED = "seed"
"""An empty object beside the manifest of a checkpoint that came with the project."""

PROPOSER = Manifest(model="policy", version=BOOTSTRAP, prompt_format=BOOTSTRAP, files={})
"""The policy before there is one: random programs, which the policy service makes itself."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion that was made."""

    manifest: Manifest
    previous: str
    """The version it replaced; empty if there was none."""


class Registry:
    """Reads manifests, moves pointers, tells the world."""

    def __init__(
        self,
        store: ObjectStore,
        pointers: Pointers,
        jetstream: JetStreamContext,
        candidates: Pointers | None = None,
    ) -> None:
        """`candidates` are the pointers of a channel that only a tier of its own follows."""
        self.store = store
        self._pointers = pointers
        self._jetstream = jetstream
        self._candidates = candidates

    @property
    def apart(self) -> bool:
        """Whether candidates are served by a tier of their own."""
        return self._candidates is not None

    async def placed(self, model: Model) -> bool:
        """Whether the candidates' tier has something to serve."""
        try:
            await (self._candidates or self._pointers).current(model)
        except NotFound:
            return False
        return True

    async def place(self, manifest: Manifest) -> None:
        """Have a candidate served: on its channel, or to everybody where there is none."""
        if self._candidates is None:
            await self.promote(manifest)
        else:
            await self._candidates.promote(manifest)

    async def promoted(self, model: Model) -> str:
        """The promoted version.

        Raises:
            NotFound: none was promoted yet.
        """
        return (await self._pointers.current(model)).version

    async def promoted_or_none(self, model: Model) -> str:
        """The promoted version, or nothing."""
        try:
            return await self.promoted(model)
        except NotFound:
            return ""

    async def promote(self, manifest: Manifest) -> Promotion:
        """Make a published checkpoint the current one and publish the event.

        The pointer is the truth; the event is sent after it, and again if asked again.
        """
        promoted = await self._pointers.promote(manifest)
        await publish_once(
            self._jetstream,
            CHECKPOINT_PROMOTED,
            promoted.SerializeToString(),
            # The time is the stored promotion's: asking again repeats the event, going back and
            # forth between two versions does not.
            headers={
                "Nats-Msg-Id": f"{promoted.model}/{promoted.version}/{promoted.at.ToNanoseconds()}"
            },
        )
        logger.info("promoted", extra={"model": manifest.model, "version": manifest.version})
        return Promotion(manifest, promoted.previous)

    async def manifests(self, model: Model) -> list[Manifest]:
        """Every checkpoint of a model, newest first, but for those that cannot be read."""
        found = []
        async for key in self.store.keys(f"{PREFIX}{model}/"):
            if not key.endswith(f"/{MANIFEST}"):
                continue
            try:
                found.append(await checkpoints.read_manifest(self.store, model, key.split("/")[-2]))
            except InvalidInput as error:
                logger.warning("%s: %s", key, error)
        found.sort(key=lambda manifest: (-manifest.created_at, manifest.version))
        return found


async def import_proposer(registry: Registry) -> None:
    """Publish the bootstrap proposer; promote it if no policy is."""
    with contextlib.suppress(Conflict):
        await registry.store.create(PROPOSER.prefix + MANIFEST, PROPOSER.to_json())
    if not await registry.promoted_or_none("policy"):
        await registry.promote(PROPOSER)


async def open_channel(registry: Registry) -> None:
    """Before the first candidate its tier serves what everybody is served."""
    for model in MODELS:
        version = await registry.promoted_or_none(model)
        if version and not await registry.placed(model):
            await registry.place(await checkpoints.read_manifest(registry.store, model, version))


async def import_seeds(registry: Registry, directory: Path) -> None:
    """Publish the checkpoints that came with the project; promote those that are due.

    A seed is due if nothing is promoted, or if it is new here and what is promoted is an older
    seed: an upgrade of the project brings its models along. A model of one's own, or a seed that
    somebody went back to, stays.

    Raises:
        InvalidInput: what lies there is no checkpoint, or its files do not match.
    """
    for model in MODELS:
        source = directory / model
        if not (source / MANIFEST).is_file():
            continue
        manifest = Manifest.from_json((source / MANIFEST).read_bytes())
        actual = await asyncio.to_thread(
            checkpoints.describe, source, model=model, prompt_format=manifest.prompt_format
        )
        if manifest.model != model or any(
            actual.files.get(name) != digest for name, digest in manifest.files.items()
        ):
            raise InvalidInput(
                f"{source}: its files are not those of its manifest", field="seed_models"
            )
        await checkpoints.publish(registry.store, source, manifest)
        seeds = {
            key.split("/")[-2]
            async for key in registry.store.keys(f"{PREFIX}{model}/")
            if key.endswith(f"/{SEED}")
        }
        promoted = await registry.promoted_or_none(model)
        if not promoted or (promoted in seeds and manifest.version not in seeds):
            await registry.promote(manifest)
        # Noted last: a start that was cut off before is made up for by the next.
        await registry.store.put(manifest.prefix + SEED, b"")
