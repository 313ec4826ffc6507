"""Three NATS servers that find each other, each of which can be killed and begun again."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from rstar_common.processes import HOST, free_ports, installed_program, process

NODES = ("n1", "n2", "n3")


class Cluster:
    """Servers that can be killed and begun again."""

    def __init__(self, directory: Path, over: AsyncExitStack) -> None:
        """`over` ends those that live when it ends."""
        self._directory = directory
        self._over = over
        ports = free_ports(2 * len(NODES))
        self._clients = dict(zip(NODES, ports[: len(NODES)], strict=True))
        self._routes = dict(zip(NODES, ports[len(NODES) :], strict=True))
        self._living: dict[str, tuple[int, AsyncExitStack]] = {}

    @property
    def urls(self) -> list[str]:
        """Of all servers."""
        return [f"nats://{HOST}:{port}" for port in self._clients.values()]

    async def begin(self, name: str) -> None:
        """Start one."""
        life = await self._over.enter_async_context(AsyncExitStack())
        routes = ",".join(f"nats://{HOST}:{port}" for port in self._routes.values())
        child = await life.enter_async_context(
            process(
                [
                    *(installed_program("nats-server"), "-a", HOST, "-n", name),
                    *("-p", str(self._clients[name]), "-js"),
                    *("-sd", str(self._directory / name), "--cluster_name", "rstar"),
                    *("--cluster", f"nats://{HOST}:{self._routes[name]}", "--routes", routes),
                ],
                log=self._directory / f"{name}.log",
                environment={},
            )
        )
        self._living[name] = (child.pid, life)

    async def kill(self, name: str) -> None:
        """SIGKILL to one."""
        pid, life = self._living.pop(name)
        os.kill(pid, signal.SIGKILL)
        await life.aclose()
