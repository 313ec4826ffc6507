"""The attacks are many, told apart, documented, and able to succeed where nothing contains them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.sandbox_attack_table import ATTACKS, DOCUMENT, JUDGED, documented, table
from tests.support.sandbox_attacks import HOST_FILE, HOST_PORT, HOST_SOCKET

OUTSIDE = [attack for attack in ATTACKS if attack.outside]
OUTSIDE_SECONDS = 90.0


def test_the_document_has_the_table_of_all_attacks():
    assert documented(DOCUMENT.read_text()) == table(), (
        "run python -m tests.support.sandbox_attack_table"
    )


def test_every_attack_has_a_name_of_its_own():
    names = [attack.name for attack in (*ATTACKS, *JUDGED)]
    assert len(names) >= 60
    assert len({(getattr(a, "group", "judge"), a.name) for a in (*ATTACKS, *JUDGED)}) == len(names)


async def test_attacks_that_are_safe_outside_do_succeed_there(tmp_path: Path):
    file, address = tmp_path / "secret", tmp_path / "s"
    file.write_text("of the host")
    async with (
        await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as tcp,
        await asyncio.start_unix_server(lambda _, writer: writer.close(), address),
    ):
        port = str(tcp.sockets[0].getsockname()[1])
        for attack in OUTSIDE:
            code = attack.code.replace(HOST_FILE, str(file)).replace(HOST_PORT, port)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", code.replace(HOST_SOCKET, str(address))),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"RSTAR_PLANTED": "secret", "PATH": "/usr/bin:/bin"},
                cwd=tmp_path,
            )
            async with asyncio.timeout(OUTSIDE_SECONDS):
                printed, _ = await process.communicate()
            assert b"BREACH" in printed, attack.name
