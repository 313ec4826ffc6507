"""What a batch's trees would be if nobody had died: the same searches in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

from rstar.v1 import searcher_pb2, tree_pb2, types_pb2
from rstar_common.artifacts import ObjectStore
from rstar_searcher.bench.grpc_part import searcher_settings
from rstar_searcher.bench.parameters import Parameters
from rstar_searcher.bench.services import SimulatedServices
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.driver import drive
from rstar_searcher.meter import Meter
from rstar_searcher.results import result_of, tree_to
from rstar_searcher.service_settings import SearchDefaults
from rstar_searcher.services import Problem
from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings_wire import settings_from
from rstar_searcher.strategies import make_strategy


async def same_trees(
    store: ObjectStore,
    results: Sequence[searcher_pb2.BatchResult],
    settings: types_pb2.SearchSettings,
    parameters: Parameters,
) -> int:
    """How many stored trees are, node for node, those of a search that was left alone."""
    defaults = SearchDefaults(**json.loads(searcher_settings("", {})["DEFAULTS"]))
    searched = settings_from(settings, replace(defaults.search_settings(), ppm=True))
    instant = replace(parameters, instant=True)  # waiting does not change what is found
    simulation = Simulation(instant)
    equal = 0
    for result in results:
        tree = tree_pb2.Tree.FromString(await store.get(result.result.tree_key))
        expected = await _searched(simulation, result, searched)
        equal += (
            list(tree.nodes) == list(expected.nodes)
            and list(tree.result.trajectories) == list(expected.result.trajectories)
            and result.result.answer == expected.result.answer
        )
    return equal


async def _searched(
    simulation: Simulation, of: searcher_pb2.BatchResult, settings: SearchSettings
) -> tree_pb2.Tree:
    problem = Problem(question=of.question, problem_id=of.problem_id)
    strategy, meter = make_strategy(settings), Meter()
    ended = await drive(
        strategy,
        problem,
        settings,
        SimulatedServices(simulation, meter, provenance=True),
        meter,
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
    )
    result = result_of("", "", problem, settings, strategy.tree, meter, ended)
    return tree_to(problem, settings, strategy.tree, result)
