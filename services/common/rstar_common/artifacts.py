"""The object store: everything large, by key.

    inbox/…                              batches too large for a message, put by publishers
    trees/BATCH/SEARCH.pb                finished searches, `rstar.v1.Tree`
    checkpoints/MODEL/VERSION/…          immutable, with a manifest

    datasets/…                           what checkpoints were taught

obstore moves data (async, create-if-absent); `bucket` makes the bucket, which obstore does not.
User-given names never appear in a key; `streams.token` hashes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store
from prometheus_client import Counter

from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Conflict, InvalidInput, NotFound, Unavailable
from rstar_common.streams import NO_BATCH, token
from rstar_common.tracing import span

logger = logging.getLogger(__name__)

FAILED = Counter("rstar_store_failed_total", "What the store did not do.", ["what"])

INBOX = "inbox/"
DATASETS = "datasets/"
PROBE = "probe/"
"""What every identity may list, and the operator alone may write: shows that the store answers."""

STEP_TIMEOUT = timedelta(seconds=10)
"""Of one step: to connect, or for the next bytes to come. A lost connection is noticed by it."""

OBJECT_TIMEOUT = timedelta(hours=2)
"""To read a whole object: the weights of a large model may take their time."""

PARTS_AT_ONCE = 4
PART_TIMEOUT = timedelta(minutes=1)
"""To write 5 MiB, as one of so many at once: 350 KB/s are enough. Shows a lost connection too."""

SMALL_BYTES = 256 * 1024

LARGE_BYTES, WHOLE_TIMEOUT = 20 * 2**20, timedelta(minutes=10)
"""To write a large object that must not exist: it goes in one piece, perhaps over a slow link."""

RETRY_TIMEOUT = timedelta(seconds=30)
"""From the first attempt of a request to the last; more where one alone may take longer."""

PIECE_BYTES = 8 * 2**20

CONNECT_SECONDS = 60.0
"""How long a starting service waits for the store before it gives up and is restarted."""


def tree_key(batch_id: str, search_id: str) -> str:
    """Key of a finished search's tree; `batch_id` is empty for interactive searches."""
    return f"{trees_prefix(batch_id)}{search_id}.pb"


def given_key(sha256: str) -> str:
    """Key of a file that somebody gave to learn from."""
    return f"{DATASETS}given/{sha256}.json"


def dataset_key(version: str, name: str) -> str:
    """Key of a file of what a checkpoint was taught."""
    return f"{DATASETS}{version}/{name}"


def trees_prefix(batch_id: str) -> str:
    """Prefix of all trees of a batch."""
    return f"trees/{token(batch_id) if batch_id else NO_BATCH}/"


class ObjectStore:
    """One bucket."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        """Remember where it is; nothing is contacted.

        Raises:
            InvalidInput: the endpoint is not a URL.
        """
        url = urlsplit(settings.endpoint)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise InvalidInput("must be an http(s) URL", field="object_store.endpoint")
        for what in ("put", "create", "get", "head", "list"):
            FAILED.labels(what)  # a series that is not there looks like one that is watched
        self._settings = settings
        # For what is read, and for small objects.
        self._store = _bucket(settings, read_timeout=STEP_TIMEOUT, timeout=OBJECT_TIMEOUT)
        # Bytes that go out do not count as read: a limit on those would cut a slow upload.
        self._uploads = _bucket(settings, read_timeout=PART_TIMEOUT, timeout=PART_TIMEOUT)
        self._whole = _bucket(settings, read_timeout=WHOLE_TIMEOUT, timeout=WHOLE_TIMEOUT)

    @property
    def bucket(self) -> S3Store:
        """The bucket itself, for what this class has no words for."""
        return self._store

    async def ready(self) -> None:
        """Wait until the store answers, and create the bucket if it is missing.

        Raises:
            Unavailable: it did not answer within `CONNECT_SECONDS`; names the setting.
        """
        deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._find_or_make_bucket)
                return
            except Unavailable as error:
                where = f"object_store.endpoint: cannot use {self._settings.endpoint}"
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(f"{where}: {error}") from error
                logger.warning("%s yet: %s", where, error)
                # A store that is not there has no event to wait on.
                await asyncio.sleep(1.0)

    def _find_or_make_bucket(self) -> None:
        from rstar_common.bucket import find_or_make_bucket  # heavy: see there

        find_or_make_bucket(self._settings, listing=PROBE)

    async def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing what was there.

        Raises:
            Unavailable: the store did not take it.
        """
        with _mapped("put", key), span("store", bytes=len(data)):
            store = self._to_write(len(data))
            await obstore.put_async(store, key, data, max_concurrency=PARTS_AT_ONCE)

    async def put_file(self, key: str, file: Path) -> None:
        """Write an object from a file, piece by piece. Raises as `put`."""
        with _mapped("put", key), span("store"):
            await obstore.put_async(self._uploads, key, file, max_concurrency=PARTS_AT_ONCE)

    async def create(self, key: str, data: bytes) -> None:
        """Write an object that must not exist yet.

        Raises:
            Conflict: it exists.
            Unavailable: the store did not take it.
        """
        with _mapped("create", key), span("store", bytes=len(data)):
            store = self._whole if len(data) > LARGE_BYTES else self._to_write(len(data))
            await obstore.put_async(store, key, data, mode="create")

    def _to_write(self, size: int) -> S3Store:
        return self._store if size <= SMALL_BYTES else self._uploads

    async def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            NotFound: there is none.
            InvalidInput: the key holds what no key can.
            Unavailable: the store did not answer.
        """
        with _mapped("get", key):
            response = await obstore.get_async(self._store, key)
            return bytes(await response.bytes_async())
        raise AssertionError("unreachable: what fails is raised")

    async def pieces(self, key: str) -> AsyncGenerator[bytes]:
        """Read an object piece by piece, `PIECE_BYTES` and more each. Raises as `get`."""
        with _mapped("get", key):
            response = await obstore.get_async(self._store, key)
            async for piece in response.stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    async def get_file(self, key: str, target: Path) -> str:
        """Read an object into a new file, piece by piece; returns its SHA-256. Raises as `get`."""
        digest = hashlib.sha256()
        with target.open("xb") as file:

            def take(piece: bytes) -> None:
                digest.update(piece)
                file.write(piece)

            async with aclosing(self.pieces(key)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(take, piece)
        return digest.hexdigest()

    async def size(self, key: str) -> int:
        """Bytes of an object. Raises as `get`."""
        with _mapped("head", key):
            return int((await obstore.head_async(self._store, key))["size"])
        raise AssertionError("unreachable: what fails is raised")

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Every key under `prefix`, in the store's order. Raises `Unavailable`."""
        with _mapped("list", prefix):
            async for page in obstore.list(self._store, prefix):
                for item in page:
                    yield str(item["path"])


@contextmanager
def _mapped(what: str, key: str) -> Generator[None]:
    """The errors of obstore as ours; what its own retries did not cure is counted."""
    try:
        yield
    except AlreadyExistsError as error:
        raise Conflict(f"object store: {key} exists") from error
    except FileNotFoundError as error:
        raise NotFound(f"object store: no {key}") from error
    except BaseError as error:
        FAILED.labels(what).inc()
        raise Unavailable(f"object store: {what} {key}: {error}") from error
    except ValueError as error:
        raise InvalidInput(f"cannot be a key: {error}", field="key") from error


def _bucket(
    settings: ObjectStoreSettings, *, read_timeout: timedelta, timeout: timedelta
) -> S3Store:
    return S3Store(
        settings.bucket,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=settings.access_key.get_secret_value(),
        secret_access_key=settings.secret_key.get_secret_value(),
        client_options={
            "allow_http": settings.endpoint.startswith("http:"),
            "connect_timeout": STEP_TIMEOUT,
            "read_timeout": read_timeout,
            "timeout": timeout,
        },
        retry_config={"max_retries": 8, "retry_timeout": max(RETRY_TIMEOUT, 2 * read_timeout)},
    )
