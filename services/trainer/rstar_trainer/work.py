"""One order being carried out in the worker process: its directory, device and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from rstar_common.errors import InvalidInput
from rstar_common.formats import FORMATS, PromptFormat
from rstar_trainer.agreement import Agreement, count_agreement
from rstar_trainer.apart import Apart
from rstar_trainer.dataset import read_trees
from rstar_trainer.job import GIVEN, TREES, WorkerEvent, WorkOrder
from rstar_trainer.lessons import LESSONS, note_curve
from rstar_trainer.ranks import ONE, Ranks

T = TypeVar("T")


@dataclass(slots=True)
class Work:
    """One order being carried out."""

    directory: Path
    order: WorkOrder
    ranks: Ranks = ONE
    stopping: bool = False
    stage: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def lessons(self) -> Path:
        """Where the data set and the curve are written."""
        return self.directory / LESSONS

    def files(self) -> list[Path]:
        """The trees, in the order of their names."""
        return sorted((self.directory / TREES).glob("*.pb"))

    def given(self, read: Callable[[Sequence[Mapping[str, object]]], list[T]]) -> list[T]:
        """What `read` makes of the files that were given beside the trees.

        Raises:
            InvalidInput: naming the file and the record at fault.
        """
        found: list[T] = []
        for index, path in enumerate(sorted((self.directory / GIVEN).glob("*.json"))):
            where = f"data_digests[{index}]"
            try:
                records = json.loads(path.read_bytes())
                json.dumps(records, ensure_ascii=False).encode()  # half a surrogate pair is no text
            except (ValueError, RecursionError) as error:
                raise InvalidInput(f"is no JSON: {error}", field=where) from error
            if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
                raise InvalidInput("is no list of objects", field=where)
            try:
                found += read(records)
            except InvalidInput as error:
                message = str(error).removeprefix(f"{error.field}: ")
                raise InvalidInput(message, field=f"{where}{error.field}") from error
        return found

    def apart(self) -> Apart:
        """The questions that no variant may ask."""
        return Apart(self.order.questions_apart)

    def enter(self, stage: str, progress: float) -> None:
        """Tell what is done now."""
        self.stage = stage
        self.tell(progress, {})

    def tell(self, progress: float, metrics: dict[str, float]) -> None:
        """Tell how far it is."""
        self.metrics |= metrics
        self.emit(
            WorkerEvent(event="progress", progress=progress, stage=self.stage, metrics=self.metrics)
        )

    def emit(self, event: WorkerEvent) -> None:
        """Write one line for the service; of several processes the first speaks for all."""
        if self.ranks.first:
            sys.stdout.write(event.model_dump_json() + "\n")
            sys.stdout.flush()

    def told_training(self, share: float, metrics: dict[str, float]) -> None:
        """Training is the part between 10 and 95 %."""
        if self.ranks.first:
            note_curve(self.lessons, metrics)
        self.tell(0.1 + 0.85 * share, metrics)

    @property
    def device(self) -> torch.device:
        on_gpu = self.order.device != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if on_gpu else "cpu")

    @property
    def autocast(self) -> torch.dtype | None:
        precision = self.order.precision
        if precision == "auto":
            fast = self.device.type == "cuda" or cpu_multiplies_bfloat16()
            precision = "bfloat16" if fast else "float32"
        return torch.bfloat16 if precision == "bfloat16" else None

    @property
    def base(self) -> Path:
        return Path(self.order.base)

    def agreement(self) -> Agreement | None:
        """What programs agree on, if the order asks for it."""
        if not self.order.agreement_filter:
            return None
        self.enter("comparing programs", 0.02)
        return count_agreement(read_trees(self.files()))


def cpu_multiplies_bfloat16() -> bool:
    """Whether bfloat16 is faster than float32 on this CPU: about twice, where it is."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def prompt_format(name: str) -> PromptFormat:
    """The format of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name not in FORMATS:
        raise InvalidInput(f"must be one of {sorted(FORMATS)}", field="prompt_format")
    return FORMATS[name]
