"""A private S3 server: SeaweedFS from its wheel, loopback, an identity a service, no telemetry.

Every port is set: without that it listens where it likes. Ready means that the first put
succeeded; the ports are open long before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from rstar_cli.local.credentials import store_keys
from rstar_cli.local.ports import HOST, until_open
from rstar_cli.local.process import Command, program
from rstar_common.artifacts import PROBE, ObjectStore
from rstar_common.config import ObjectStoreSettings
from rstar_common.errors import Unavailable
from rstar_common.store_roles import IDENTITIES, OPERATOR, identities

PORTS = 10
"""How many ports the server wants."""

BUCKET = "rstar"
MEMORY_LIMIT = "768MiB"
"""Soft. It works in 150 to 250 MB; with a limit near that it does little but collect garbage."""

READY_SECONDS = 60.0
_PROBE = f"{PROBE}ready"


def s3_settings(
    port: int, access_key: str, secret_key: str, *, bucket: str = BUCKET
) -> ObjectStoreSettings:
    """What a client of the server needs."""
    return ObjectStoreSettings(
        endpoint=f"http://{HOST}:{port}",
        bucket=bucket,
        access_key=SecretStr(access_key),
        secret_key=SecretStr(secret_key),
    )


def s3_command(
    directory: Path, *, ports: Sequence[int], access_key: str, secret_key: str
) -> Command:
    """How to start the server; its S3 API listens on the first of `ports`.

    The keys are the operator's; each service's are derived from them. They reach the server in
    a file readable by its owner alone: command lines and environments are seen by more.
    """
    assert len(ports) == PORTS
    (directory / "data").mkdir(parents=True, exist_ok=True)
    config = directory / "s3.json"
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    keys = {name: store_keys(secret_key, name) for name in IDENTITIES}
    config.write_text(identities({OPERATOR: (access_key, secret_key), **keys}, BUCKET))
    s3, s3_grpc, filer, filer_grpc, master, master_grpc, volume, volume_grpc, admin, admin_grpc = (
        ports
    )
    return Command(
        name="s3",
        argv=(
            program("weed"),
            f"-logdir={directory}",
            "mini",
            f"-dir={directory / 'data'}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={config}",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_grpc}",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            f"-admin.port={admin}",
            f"-admin.port.grpc={admin_grpc}",
        ),
        environment={"GOMEMLIMIT": MEMORY_LIMIT},
        log=directory / "s3.log",
    )


async def s3_ready(settings: ObjectStoreSettings, *, seconds: float = READY_SECONDS) -> None:
    """Create the bucket and return once a put has succeeded.

    Raises:
        Unavailable: none did, within `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            await until_open(int(settings.endpoint.rpartition(":")[2]))
            store = ObjectStore(settings)
            await store.ready()
            await store.put(_PROBE, b"ready")
    except TimeoutError as error:
        raise Unavailable(f"object store: {settings.endpoint} did not answer") from error


async def sync_every_write(ports: Sequence[int]) -> None:
    """Make the server fsync what it acknowledges; it remembers this for good.

    Raises:
        Unavailable: the server did not take it.
    """
    master, master_grpc = ports[4], ports[5]
    process = await asyncio.create_subprocess_exec(
        program("weed"),
        "shell",
        f"-master={HOST}:{master}.{master_grpc}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(b"fs.configure -locationPrefix=/buckets/ -fsync -apply\n")
    if process.returncode or b'"fsync":  true' not in output:
        raise Unavailable(f"object store: cannot turn fsync on: {output[-200:]!r}")
