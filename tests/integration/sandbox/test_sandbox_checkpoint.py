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


async def test_a_restored_sandbox_answers_like_the_one_it_was_taken_of(environment: Environment):
    checkpoint = Checkpoint(environment.runsc, environment.bundles.parent / "image")
    opening = partial(new_container, SETTINGS, environment)
    async with checkpoint.sandbox(opening) as first:
        assert checkpoint.image
        expected = await answers(first, "one")
    assert expected[1] == ("kept\n", None)
    async with new_container(SETTINGS, environment, checkpoint.image) as restored:
        assert await answers(restored, "two") == expected
        async with checkpoint.sandbox(opening) as another:
            assert await answers(another, "one") == expected
    assert checkpoint.image  # nothing had to start from nothing


async def test_a_checkpoint_that_is_of_no_use_costs_nothing_but_time(
    environment: Environment, tmp_path: Path
):
    checkpoint = Checkpoint(environment.runsc, environment.bundles.parent / "image")
    checkpoint.image = tmp_path
    async with checkpoint.sandbox(partial(new_container, SETTINGS, environment)) as box:
        assert (await answers(box, "one"))[2][1] == ["ZeroDivisionError", "division by zero", 1]
