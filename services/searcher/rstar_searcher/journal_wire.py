"""Journal entries to and from the searcher's values, and whole journals read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rstar.v1 import journal_pb2, tree_pb2, types_pb2
from rstar_searcher import wire
from rstar_searcher.driver import EndedBy
from rstar_searcher.meter import Meter
from rstar_searcher.model import Dropped, Expanded
from rstar_searcher.strategies import Told
from rstar_searcher.tree import NodeId

_ENDINGS = {wire_value: ended for ended, wire_value in wire.ENDINGS.items()}


@dataclass(slots=True, kw_only=True)
class History:
    """What a search was, as far as its journal tells."""

    begun: journal_pb2.SearchBegun | None = None
    told: list[Told] = field(default_factory=list[Told])
    cost: types_pb2.Cost = field(default_factory=types_pb2.Cost)
    ended: EndedBy | None = None

    @property
    def ppm_version(self) -> str:
        """What its nodes were scored with; empty while none is."""
        children = (child for told in self.told for child in told.children)
        return next((child.ppm_version for child in children if child.ppm_version), "")


def history_of(records: Iterable[journal_pb2.JournalRecord]) -> History:
    """Read a journal. What a writer left half-written is not part of it."""
    history = History()
    part, writer = b"", ""
    for record in records:
        if record.writer != writer:
            part, writer = b"", record.writer
        part += record.entries
        if record.continued:
            continue
        for entry in journal_pb2.JournalEntries.FromString(part).entries:
            match entry.WhichOneof("entry"):
                case "begun":
                    history.begun = entry.begun
                case "told":
                    history.told.append(told_from(entry.told))
                    history.cost = entry.told.cost
                case "ended":
                    history.ended = _ENDINGS[entry.ended.ended_by]
                    history.cost = entry.ended.cost
        part = b""
    return history


def told_entry(told: Told, meter: Meter) -> journal_pb2.JournalEntry:
    """An expansion, with the cost of the search so far."""
    return journal_pb2.JournalEntry(
        told=journal_pb2.ExpansionTold(
            node=told.node,
            children=[
                journal_pb2.ToldChild(sample=child.sample, node=_child_to(child))
                for child in told.children
            ],
            dropped=[wire.dropped_to(told.node, dropped) for dropped in told.dropped],
            cost=wire.cost_to(meter),
        )
    )


def ended_entry(ended: EndedBy, meter: Meter) -> journal_pb2.JournalEntry:
    """The end of a search, with its cost."""
    return journal_pb2.JournalEntry(
        ended=journal_pb2.SearchEnded(ended_by=wire.ENDINGS[ended], cost=wire.cost_to(meter))
    )


def told_from(entry: journal_pb2.ExpansionTold) -> Told:
    """As the strategy wants it."""
    return Told(
        node=NodeId(entry.node),
        children=tuple(_child_from(child) for child in entry.children),
        dropped=tuple(
            Dropped(
                candidate=wire.candidate_from(dropped.candidate),
                outcome=wire.outcome_from(dropped.execution)
                if dropped.HasField("execution")
                else None,
            )
            for dropped in entry.dropped
        ),
    )


def _child_to(child: Expanded) -> tree_pb2.Node:
    node = wire.step_node_to(child, stdout="")  # what it printed is in `execution`
    if child.answer is not None:
        node.terminal = tree_pb2.TERMINAL_ANSWER
    return node


def _child_from(child: journal_pb2.ToldChild) -> Expanded:
    node = child.node
    return Expanded(
        sample=child.sample,
        candidate=wire.candidate_from(node.candidate),
        multiplicity=node.multiplicity,
        outcome=wire.outcome_from(node.execution) if node.HasField("execution") else None,
        ppm_score=node.ppm_score if node.HasField("ppm_score") else None,
        ppm_version=node.versions.ppm,
        sandbox_version=node.versions.sandbox,
        answer=node.answer if node.terminal == tree_pb2.TERMINAL_ANSWER else None,
        verdict=wire.VERDICT_FROM.get(node.verdict),
    )
