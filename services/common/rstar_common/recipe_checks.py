"""Whether a recipe can be carried out, as far as it shows itself: before anything runs.

Said once for the command line, which refuses a recipe without a stack, and for the trainer, which
anybody may ask. Faults name the field by its path (`rounds[1].gates[0].evaluation`), from which the
command line finds the line of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rstar.v1 import evolution_pb2, types_pb2
from rstar_common.checkpoints import BOOTSTRAP
from rstar_common.errors import InvalidInput
from rstar_common.search_ranges import RANGES, check_extra_rollouts, check_range

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PPM_SELECTIONS = (
    types_pb2.ANSWER_SELECTION_BEST_PPM,
    types_pb2.ANSWER_SELECTION_WEIGHTED_MAJORITY,
)
_FORESTS = (types_pb2.STRATEGY_UNSPECIFIED, types_pb2.STRATEGY_MCTS)
_TREES = (*_FORESTS, types_pb2.STRATEGY_STEP_BEAM)


def check_recipe(recipe: evolution_pb2.Recipe, *, has_policy: bool, taken_over: int = 0) -> None:
    """Refuse what could not be carried out; how models are trained is for the trainer to check.

    `has_policy` if the run begins with a trained policy; so many rounds are `taken_over` from
    another run, searched already.

    Raises:
        InvalidInput: naming the field at fault.
    """
    check_run_name(recipe.name, field="name")
    pools = _unique([pool.name for pool in recipe.pools], "pools")
    sets = _unique([one.name for one in recipe.evaluation_sets], "evaluation_sets")
    if not recipe.rounds:
        raise InvalidInput("is empty", field="rounds")
    if not recipe.pools and not all(round_.batch_ids for round_ in recipe.rounds):
        raise InvalidInput("is empty; without one there is nothing to search", field="pools")
    has_ppm = False
    for number, round_ in enumerate(recipe.rounds):
        where = f"rounds[{number}]"
        for index, pool in enumerate(round_.pools):
            _known(pool, pools, f"{where}.pools[{index}]", "pool")
        searched_by = round_.batch_ids or round_.bootstrap or round_.search_policy
        if number >= taken_over and not (searched_by or has_policy):
            raise InvalidInput(
                "must be true: no trained policy is promoted, and no round before trains one to "
                "stay",
                field=f"{where}.bootstrap",
            )
        has_policy, has_ppm = _check_models(round_, where, has_policy, has_ppm)
        for name in ("max_unsolved_share", "too_easy_share"):
            if not 0 <= getattr(round_, name) <= 1:
                raise InvalidInput("must be 0 to 1", field=f"{where}.{name}")
        _check_rounds_of_ppm(round_, where)
        own_ppm = bool(round_.ppm_version) or round_.HasField("ppm")
        _check_evaluations(round_, where, sets, has_ppm=has_ppm or own_ppm)
        _check_gates(round_, where, [one for one in recipe.rounds[:number] if not one.trial])


def check_run_name(name: str, *, field: str) -> None:
    """Refuse a name that could not stand in ids.

    Raises:
        InvalidInput: naming `field`.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput("must be 1 to 64 of A-Z a-z 0-9 . _ -", field=field)


def second_search(round_: evolution_pb2.Round) -> types_pb2.SearchSettings:
    """The round's search settings, but for what its second search says itself."""
    merged = types_pb2.SearchSettings()
    merged.CopyFrom(round_.search)
    merged.ClearField("seed")
    merged.ClearField("extra_rollouts")
    merged.MergeFrom(round_.second_search)
    return merged


def _check_models(
    round_: evolution_pb2.Round, where: str, has_policy: bool, has_ppm: bool
) -> tuple[bool, bool]:
    if round_.batch_ids:
        _check_searches_nothing(round_, where)
    else:
        _check_search(round_, where, has_ppm=has_ppm or bool(round_.search_ppm))
    for name in ("pools", "prefer_new", "max_unsolved_share", "too_easy_share"):
        if round_.problems_of and getattr(round_, name):
            raise InvalidInput("another round's problems are searched", field=f"{where}.{name}")
    if round_.bootstrap and round_.search_policy:
        raise InvalidInput("random programs search this round", field=f"{where}.search_policy")
    given = round_.policy_version
    starts = given != BOOTSTRAP if given else has_policy
    if round_.HasField("ppm") and not starts and not round_.HasField("policy"):
        raise InvalidInput("no policy is trained that it could start from", field=f"{where}.ppm")
    for model in ("policy", "ppm"):
        if round_.HasField(model) and getattr(round_, f"{model}_version"):
            raise InvalidInput("the round trains one itself", field=f"{where}.{model}_version")
    stays = not round_.trial
    return (
        has_policy or (stays and round_.HasField("policy")),
        has_ppm or (stays and round_.HasField("ppm")),
    )


def _check_search(round_: evolution_pb2.Round, where: str, *, has_ppm: bool) -> None:
    searches = {"search": round_.search}
    if round_.HasField("second_search"):
        searches["second_search"] = second_search(round_)
    _check_second_bootstrap(round_, f"{where}.second_bootstrap", searches.get("second_search"))
    for name, search in searches.items():
        mode = search.mode
        if mode == types_pb2.SEARCH_MODE_TEST_TIME or not mode:
            raise InvalidInput(
                "must be terminal_guided or ppm_augmented", field=f"{where}.{name}.mode"
            )
        if mode == types_pb2.SEARCH_MODE_PPM_AUGMENTED and not has_ppm:
            raise InvalidInput("no round before trains a PPM", field=f"{where}.{name}.mode")
        _check_settings(search, f"{where}.{name}")
        if search.extra_rollouts and search.strategy not in _FORESTS:
            raise InvalidInput(
                "only mcts goes on where it ended; a second_search is for the other strategies",
                field=f"{where}.{name}.extra_rollouts",
            )


def _check_second_bootstrap(
    round_: evolution_pb2.Round, field: str, second: types_pb2.SearchSettings | None
) -> None:
    if not round_.second_bootstrap:
        return
    if not second:
        raise InvalidInput("the round has no second_search", field=field)
    if round_.bootstrap:
        raise InvalidInput("random programs search the whole round", field=field)
    if second.mode != types_pb2.SEARCH_MODE_TERMINAL_GUIDED:
        raise InvalidInput(
            "no PPM knows random programs: second_search.mode must be terminal_guided", field=field
        )


def _check_rounds_of_ppm(round_: evolution_pb2.Round, where: str) -> None:
    if not round_.ppm_learn_from_rounds:
        return
    field = f"{where}.ppm_learn_from_rounds"
    if round_.batch_ids:
        raise InvalidInput("a round that learns from given trees learns from these", field=field)
    if 0 < round_.learn_from_rounds < round_.ppm_learn_from_rounds:
        raise InvalidInput("is more than learn_from_rounds", field=field)


def _check_settings(search: types_pb2.SearchSettings, where: str) -> None:
    """What the searcher would refuse hours later."""
    for descriptor, value in search.ListFields():
        if descriptor.name in RANGES:
            check_range(descriptor.name, value, field=f"{where}.{descriptor.name}")
        known = descriptor.enum_type and descriptor.enum_type.values_by_number
        if known and value not in known:
            raise InvalidInput(f"unknown value {value}", field=f"{where}.{descriptor.name}")
    for descriptor, value in search.budget.ListFields():
        field = f"{where}.budget.{descriptor.name}"
        if descriptor.name == "max_wall_time":
            check_range("max_wall_seconds", value.ToMilliseconds() / 1000, field=field)
        else:
            check_range(descriptor.name, value, field=field)
    check_extra_rollouts(search.extra_rollouts, field=f"{where}.extra_rollouts")
    if search.enough_candidates and search.strategy not in _TREES:
        raise InvalidInput(
            "only siblings of a tree are cut off", field=f"{where}.enough_candidates"
        )


def _check_searches_nothing(round_: evolution_pb2.Round, where: str) -> None:
    for name in (
        *("problems", "problems_of", "bootstrap", "pools", "prefer_new", "second_search"),
        "second_bootstrap",
        *("search_policy", "search_ppm"),
    ):
        if any(descriptor.name == name for descriptor, _ in round_.ListFields()):
            raise InvalidInput(
                "a round that learns from given trees searches nothing", field=f"{where}.{name}"
            )


def _check_evaluations(
    round_: evolution_pb2.Round, where: str, sets: Collection[str], *, has_ppm: bool
) -> None:
    _unique([one.name for one in round_.evaluations], f"{where}.evaluations")
    for index, evaluation in enumerate(round_.evaluations):
        here = f"{where}.evaluations[{index}]"
        _known(evaluation.set, sets, f"{here}.set", "evaluation set")
        search = evaluation.search
        if search.mode not in (
            types_pb2.SEARCH_MODE_UNSPECIFIED,
            types_pb2.SEARCH_MODE_TEST_TIME,
        ):
            raise InvalidInput("must be test_time", field=f"{here}.search.mode")
        if search.answer_selection in _PPM_SELECTIONS and not has_ppm:
            raise InvalidInput(
                "needs a PPM; none is trained by then", field=f"{here}.search.answer_selection"
            )
        for name in ("extra_rollouts", "stop_after_right"):
            if getattr(search, name):
                raise InvalidInput("is for data generation", field=f"{here}.search.{name}")
        _check_settings(search, f"{here}.search")


def _check_gates(
    round_: evolution_pb2.Round, where: str, earlier: Sequence[evolution_pb2.Round]
) -> None:
    """`earlier` are the rounds before whose models may stay."""
    names = [one.name for one in round_.evaluations]
    measured = [one for before in earlier for one in before.evaluations]
    for index, gate in enumerate(round_.gates):
        here = f"{where}.gates[{index}]"
        _known(gate.evaluation, names, f"{here}.evaluation", "evaluation of this round")
        if not 0 <= gate.min_accuracy <= 1:
            raise InvalidInput("can never hold: accuracy is 0 to 1", field=f"{here}.min_accuracy")
        if not gate.min_accuracy and not gate.HasField("max_drop"):
            raise InvalidInput("always holds: give min_accuracy or max_drop", field=here)
        if gate.HasField("max_drop"):
            if not 0 <= gate.max_drop < 1:
                raise InvalidInput(
                    "must be 0 to 1, and below it: nothing drops further",
                    field=f"{here}.max_drop",
                )
            asked = round_.evaluations[names.index(gate.evaluation)]
            if not any(measured_alike(one, asked) for one in measured):
                raise InvalidInput(
                    f"no round before that may stay measures {asked.name} with the same set, "
                    "number of problems and search settings: there is nothing to compare with",
                    field=f"{here}.max_drop",
                )


def measured_alike(one: evolution_pb2.Evaluation, other: evolution_pb2.Evaluation) -> bool:
    """Whether two accuracies can be compared: of the same problems, searched alike."""
    return (one.name, one.set, one.problems, searched_as(one)) == (
        *(other.name, other.set, other.problems),
        searched_as(other),
    )


def searched_as(one: evolution_pb2.Evaluation) -> bytes:
    """What tells the searches of two evaluations apart; another seed draws other samples alike."""
    settings = types_pb2.SearchSettings()
    settings.CopyFrom(one.search)
    settings.ClearField("seed")
    settings.ClearField("mode")  # there is one for all
    return settings.SerializeToString(deterministic=True)


def _unique(names: Sequence[str], where: str) -> set[str]:
    for index, name in enumerate(names):
        check_run_name(name, field=f"{where}[{index}].name")
        if name in names[:index]:
            raise InvalidInput(f"{name} appears twice", field=f"{where}[{index}].name")
    return set(names)


def _known(name: str, names: Collection[str], where: str, what: str) -> None:
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise InvalidInput(f"no {what} {name!r}; there is: {known}", field=where)
