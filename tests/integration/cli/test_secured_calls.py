"""The command calls a secured system with the certificate and token it was given."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from rstar.v1 import searcher_pb2, searcher_pb2_grpc
from rstar_cli.authority import Authority
from rstar_common.config import GrpcServerSettings
from rstar_common.rpc import grpc_server


class Searcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Answers at once, to whoever gets this far."""

    async def SolveStream(self, request, context):
        event = searcher_pb2.SearchEvent(search_id="s", sequence=1)
        event.finished.result.answer = "42"
        yield event


async def test_a_token_and_a_certificate_go_with_every_call(tmp_path):
    authority = Authority.create(tmp_path)
    for name in ("server", "laptop"):
        authority.issue(name, ["127.0.0.1"], days=1)
    settings = GrpcServerSettings(
        drain_seconds=0,
        certificate=str(authority.path("server", "pem")),
        key=str(authority.path("server", "key")),
        client_ca=str(authority.path("ca", "pem")),
        token_keys=str(authority.path("tokens", "pub")),
    )
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    component = grpc_server(
        settings,
        lambda server: searcher_pb2_grpc.add_SearcherServiceServicer_to_server(Searcher(), server),
        service_names=["rstar.v1.SearcherService"],
        on_listening=port.set_result,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(component(stop))
        system = {
            "RSTAR_HOME": str(tmp_path / "home"),
            "RSTAR_CLI_SEARCHER": f"127.0.0.1:{await port}",
            "RSTAR_CLI_PEERS__CA": str(authority.path("ca", "pem")),
            "RSTAR_CLI_PEERS__CERTIFICATE": str(authority.path("laptop", "pem")),
            "RSTAR_CLI_PEERS__KEY": str(authority.path("laptop", "key")),
        }
        token = authority.token("team", ["solve"], seconds=60)
        status, out, _ = await rstar_solve({**system, "RSTAR_CLI_PEERS__TOKEN": token})
        assert status == 0
        assert json.loads(out)["answer"] == "42"
        status, _, complaint = await rstar_solve(system)
        assert status == 1
        assert "no bearer token" in complaint
        assert complaint.count("\n") == 1
        stop.set()


async def rstar_solve(environment):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rstar_cli.main", "solve", "q", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, complaint = await process.communicate()
    return process.returncode, out.decode(), complaint.decode()
