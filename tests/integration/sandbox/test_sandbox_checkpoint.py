"""Sandboxes go on from a checkpoint of one that nobody had used yet, and start without one too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest_asyncio

from rstar_sandbox.checkpoint import Checkpoint
from rstar_sandbox.container import Container
from rstar_sandbox.environment import prepared
from rstar_sandbox.limits import to_message
from rstar_sandbox.places import Environment, new_container
from rstar_sandbox.pool import Order
from rstar_sandbox.settings import LimitSection, SandboxSection

SETTINGS = SandboxSection(platform="ptrace", sandboxes=1)
PATH = ["import random\nfrom sympy import *\nx = symbols('x')"]
STEPS = [
    "print(solve(x**2 - 2), random.random())",
    "with open('note', 'w') as note:\n    note.write('kept')\nprint(open('note').read())",
    "print(1 / 0)",
]


@pytest_asyncio.fixture
async def environment(_runsc: None) -> AsyncIterator[Environment]:
    async with prepared(SETTINGS) as environment:
        yield environment


async def answers(box: Container, session: str) -> list[tuple[object, object]]:
    limits = to_message(LimitSection())
    order = Order(session=session, path=PATH, siblings=STEPS, limits=limits, seed=5)
    answer = await box.ask(order.to_message(STEPS), timeout_seconds=100)
    return [(item["stdout"], item.get("exception")) for item in answer["outcomes"]]


async def test_a_restored_sandbox_answers_like_one_that_started_from_nothing(
    environment: Environment,
):
    checkpoint = Checkpoint(environment.runsc, environment.bundles.parent / "image")
    opening = partial(new_container, SETTINGS, environment)
    async with new_container(SETTINGS, environment) as fresh:
        expected = await answers(fresh, "one")
    assert expected[1] == ("kept\n", None)
    async with checkpoint.sandbox(opening) as restored:
        assert checkpoint.image
        assert await answers(restored, "two") == expected
        async with checkpoint.sandbox(opening) as another:
            assert await answers(another, "one") == expected
    assert checkpoint.image  # nothing had to start from nothing


async def test_a_checkpoint_that_is_of_no_use_costs_nothing_but_time(
    environment: Environment, tmp_path: Path
):
    checkpoint = Checkpoint(environment.runsc, environment.bundles.parent / "image")
    opening = partial(new_container, SETTINGS, environment)
    async with checkpoint.sandbox(opening):
        checkpoint.image = tmp_path  # as if it had been damaged
    async with checkpoint.sandbox(opening) as box:
        assert not checkpoint.image
        assert (await answers(box, "one"))[2][1] == ["ZeroDivisionError", "division by zero", 1]
