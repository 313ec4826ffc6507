"""Whether a recipe can be carried out, its trainings included: found before anything runs."""

from __future__ import annotations

from rstar.v1 import evolution_pb2, trainer_pb2
from rstar_common import recipe_checks
from rstar_common.errors import InvalidInput
from rstar_trainer.wire import spec_from


def check_recipe(recipe: evolution_pb2.Recipe, *, has_policy: bool, taken_over: int = 0) -> None:
    """As `recipe_checks.check_recipe`, and refuse trainings that could not be carried out.

    Raises:
        InvalidInput: naming the field at fault.
    """
    recipe_checks.check_recipe(recipe, has_policy=has_policy, taken_over=taken_over)
    for number, round_ in enumerate(recipe.rounds):
        if round_.HasField("policy"):
            _check_job(round_.policy, f"rounds[{number}].policy")
        if round_.HasField("ppm"):
            _check_job(round_.ppm, f"rounds[{number}].ppm")


def _check_job(job: trainer_pb2.TrainPolicyJob | trainer_pb2.TrainPpmJob, where: str) -> None:
    """The trainer's own check of the job, with the run's fields filled in."""
    for name in ("batch_ids", "policy_version", "evaluation_keys"):
        if getattr(job, name, None):
            raise InvalidInput("is set by the run", field=f"{where}.{name}")
    if job.data_digests:
        raise InvalidInput("is for single jobs: rstar train", field=f"{where}.data_digests")
    request = trainer_pb2.SubmitJobRequest(job_id="check")
    if isinstance(job, trainer_pb2.TrainPolicyJob):
        request.train_policy.CopyFrom(job)
        request.train_policy.batch_ids.append("check")
    else:
        request.train_ppm.CopyFrom(job)
        request.train_ppm.batch_ids.append("check")
    try:
        spec_from(request)
    except InvalidInput as error:
        path = error.field.partition(".")[2]
        raise InvalidInput(
            str(error).removeprefix(f"{error.field}: "), field=f"{where}.{path}"
        ) from error
