"""Values of two versions of the PPM are never compared in one tree."""

from __future__ import annotations

from rstar.v1 import tree_pb2
from rstar_common.errors import NotFound
from rstar_searcher.journal_wire import History
from rstar_searcher.model import Candidate, Expanded, StepKind
from rstar_searcher.strategies import Told
from tests.support.searcher_stack import new_id, searcher_stack, submission
from tests.support.toy_world import ToyWorld


async def test_a_search_whose_ppm_version_is_gone_begins_anew(nats_settings, object_store_settings):
    class Gone(ToyWorld):
        scores_left = 3

        async def score(self, question, path, siblings):
            if not Gone.scores_left:
                Gone.scores_left = -1
                raise NotFound("ppm version 1 is not served")
            Gone.scores_left -= 1
            return await super().score(question, path, siblings)

    async with searcher_stack(nats_settings, object_store_settings, world=Gone) as stack:
        batch = submission(new_id("batch"), 1)
        batch.settings.parallel_rollouts = 1
        await stack.publish(batch.SerializeToString(), "application/protobuf")
        state = await stack.finished(batch.batch_id)
        assert (state.done, state.dead) == (1, 0)
        [result] = await stack.results(batch.batch_id)
        assert result.result.status == tree_pb2.SEARCH_STATUS_ANSWERED
    first, second = stack.worlds
    assert len(first.proposed) > 1, "it was under way"
    assert second.proposed[0] == (), "the root was asked for again"
    tree = tree_pb2.Tree.FromString(await stack.store.get(result.result.tree_key))
    assert tree.result.cost.expansions == len(second.proposed), "nothing of the first is in it"


def test_a_journal_tells_what_its_nodes_were_scored_with():
    assert History().ppm_version == ""
    unscored = Told(node=0, children=[node("")], dropped=())
    scored = Told(node=1, children=[node(""), node("ppm-a")], dropped=())
    assert History(told=[unscored, scored]).ppm_version == "ppm-a"


def node(version: str) -> Expanded:
    return Expanded(
        candidate=Candidate(text="x", kind=StepKind.CODE), sample=0, ppm_version=version
    )
