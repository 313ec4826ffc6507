"""The tables of a run's report, in their order."""

from __future__ import annotations

from rstar.v1 import evolution_pb2
from rstar_cli.runpage.evaluations import evaluation_tables
from rstar_cli.runpage.models import data_table, ppm_table
from rstar_cli.runpage.modules import module_tables
from rstar_cli.runpage.problem_sets import ProblemLabels
from rstar_cli.runpage.rounds import cost_table, levels_table, lineage_table, rounds_table
from rstar_cli.runpage.table import Table


def tables(run: evolution_pb2.Run, known: ProblemLabels) -> list[Table]:
    """Every table of the report that has a row."""
    made = [
        rounds_table(run),
        levels_table(run, known),
        *evaluation_tables(run),
        ppm_table(run),
        data_table(run),
        cost_table(run),
        *module_tables(run, known),
        lineage_table(run),
    ]
    return [table for table in made if table.rows]
