"""A real Prometheus that scrapes a test's services every second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from rstar_cli.local.ports import HOST, free_ports, until_open
from rstar_cli.local.process import Command
from tests.support.deployment import INFRA, SERVICES, tools
from tests.support.servers import running


class Prometheus:
    """A running one, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=30)

    async def __aenter__(self) -> Prometheus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant vector."""
        response = await self._client.get("/api/v1/query", params={"query": expression})
        body = response.json()
        assert body["status"] == "success", f"{expression}: {body.get('error')}"
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    async def metadata(self) -> dict[str, Any]:
        """What targets declare, by metric."""
        data: dict[str, Any] = (await self._client.get("/api/v1/metadata")).json()["data"]
        return data

    async def scraped(self, times: int) -> bool:
        """Whether every target has been scraped so often."""
        try:
            counts = await self.query("sum_over_time(up[5m])")
        except (httpx.TransportError, ValueError):
            return False
        return len(counts) == len(SERVICES) and all(
            float(count["value"][1]) >= times for count in counts
        )


@asynccontextmanager
async def prometheus(directory: Path, targets: dict[str, str]) -> AsyncGenerator[Prometheus]:
    """Scrapes each target every second, with the alerts loaded."""
    [port] = free_ports(1)
    config = directory / "prometheus.yaml"
    jobs = [
        {"targets": [url.split("/")[2]], "labels": {"tier": tier}} for tier, url in targets.items()
    ]
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(INFRA / "observability" / "alerts.yaml")],
                "scrape_configs": [{"job_name": "rstar", "static_configs": jobs}],
            }
        )
    )
    command = Command(
        name="prometheus",
        argv=(
            str(tools() / "bin" / "prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ),
        environment={},
        log=directory / "prometheus.log",
    )
    async with running(command), Prometheus(f"http://{HOST}:{port}") as client:
        async with asyncio.timeout(60):
            await until_open(port)
        yield client
