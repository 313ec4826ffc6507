"""Training beside a plain loop on the same model: `python -m rstar_trainer.bench`, one JSON line.

The plain loop is what one writes in ten lines: the library's own forward with labels, a row a
line, backward, clip, AdamW; no saved state, no curve, nothing computed once for many. It gets
the same examples in the same batches, in the same precision. The two take turns; rates are per
second and per CPU second, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import LlamaForSequenceClassification, PreTrainedModel

from rstar_common.formats import MINI, Encoder, PromptStep, StepKind
from rstar_trainer import checkpoint
from rstar_trainer.batches import endless, epoch_batches, padded_length
from rstar_trainer.loop import LARGEST_GRADIENT
from rstar_trainer.losses import pairwise_ranking_loss
from rstar_trainer.optimizers import BETAS
from rstar_trainer.pairs import PreferenceGroup
from rstar_trainer.ppm_training import train_ppm
from rstar_trainer.rewards import arrange
from rstar_trainer.selection import Example
from rstar_trainer.sft import batch_tensors, tokenize, train_policy
from rstar_trainer.spec import POLICY_TRAINING, PPM_TRAINING, Shape, Training
from rstar_trainer.token_groups import TokenGroup, tokenize_group
from rstar_trainer.tokenizer import train_tokenizer
from rstar_trainer.work import cpu_multiplies_bfloat16

QUESTIONS = 600
IGNORED = -100
"""The label that the library's loss leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained on, and its two loops: each trains for the steps of `training`."""

    ours: Callable[[PreTrainedModel], object]
    plain: Callable[[PreTrainedModel], object]
    units: int
    """Tokens or groups in those steps: the same for both."""


def question(number: int) -> tuple[str, list[str]]:
    """A question and its program's steps, as long as those of the mini recipe."""
    rng = Random(number)
    values = [rng.randrange(10, 10**6) for _ in range(3)]
    asked = (
        f"Let r = {values[0]} + {values[1]}. Suppose 5*q = -3*r + {values[2]}. "
        f"What is the remainder when q is divided by {rng.randrange(2, 99)}?"
    )
    steps = [
        f"# Step 1: define the values\nr = {values[0]} + {values[1]}",
        f"# Step 2: solve for q\nq = (-3 * r + {values[2]}) // 5",
        f"# Now print the final answer\nprint(q % {rng.randrange(2, 99)})",
    ]
    return asked, steps


def program(texts: Sequence[str]) -> tuple[PromptStep, ...]:
    """Steps as a search leaves them."""
    *first, last = texts
    steps = (PromptStep(text=text, kind=StepKind.CODE) for text in first)
    return (*steps, PromptStep(text=last, kind=StepKind.FINAL_CODE))


def plainly(
    model: PreTrainedModel,
    training: Training,
    batches: Sequence[list[int]],
    loss_of: Callable[[list[int]], torch.Tensor],
) -> None:
    """The plain loop."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, betas=BETAS, fused=True
    )
    model.train()
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu_multiplies_bfloat16()):
            loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()


def first_batches(sizes: Sequence[int], training: Training) -> list[list[int]]:
    """The batches our loop will take."""
    at_most = training.batch_tokens
    source = endless(
        lambda number: epoch_batches(sizes, batch_tokens=at_most, seed=0, epoch=number), start=0
    )
    return [next(source) for _ in range(training.max_steps)]


def sft_task(encoder: Encoder, steps: int) -> Task:
    """Supervised fine-tuning."""
    training = POLICY_TRAINING.model_copy(update={"max_steps": steps})
    asked = map(question, range(QUESTIONS))
    solved = (Example(question=text, steps=program(steps), mean_q=1.0) for text, steps in asked)
    examples = [tokenize(encoder, example) for example in solved]
    batches = first_batches([padded_length(len(one.ids)) for one in examples], training)

    def plain(model: PreTrainedModel) -> None:
        def loss_of(batch: list[int]) -> torch.Tensor:
            ids_BT, trained_BT = batch_tensors([examples[i] for i in batch], torch.device("cpu"))
            labels_BT = torch.where(trained_BT, ids_BT, IGNORED)
            loss: torch.Tensor = model(input_ids=ids_BT, labels=labels_BT, use_cache=False).loss
            return loss

        plainly(model, training, batches, loss_of)

    return Task(
        ours=lambda model: train_policy(model, examples, training, **quiet()),
        plain=plain,
        units=sum(len(examples[index].ids) for batch in batches for index in batch),
    )


def ppm_task(encoder: Encoder, steps: int) -> Task:
    """Preference training: two steps against two others after the same prefix."""
    training = PPM_TRAINING.model_copy(update={"max_steps": steps})
    groups: list[TokenGroup] = []
    for number in range(QUESTIONS):
        asked, texts = question(number)
        siblings = [
            program([*texts[:-1], f"# Now print the final answer\nprint(q % {n})"])
            for n in range(4)
        ]
        preference = PreferenceGroup(
            question=asked,
            preferred=tuple(siblings[:2]),
            rejected=tuple(siblings[2:]),
            final=False,
        )
        group = tokenize_group(encoder, preference, max_length=training.max_length)
        assert group is not None, "it fits"
        groups.append(group)
    batches = first_batches([padded_length(group.tokens) for group in groups], training)

    def plain(model: PreTrainedModel) -> None:
        def loss_of(batch: list[int]) -> torch.Tensor:
            chosen = [groups[index] for index in batch]
            lines = [torch.tensor(line) for group in chosen for line in group.lines]
            ids_ST = nn.utils.rnn.pad_sequence(lines, batch_first=True)
            lengths_S = torch.tensor([len(line) for line in lines])
            mask_ST = torch.arange(ids_ST.shape[1])[None] < lengths_S[:, None]
            logits_S1 = model(input_ids=ids_ST, attention_mask=mask_ST.long()).logits
            scored = arrange(torch.tanh(logits_S1[:, 0].float()), chosen)
            return pairwise_ranking_loss(
                scored.preferred_GP, scored.rejected_GR, scored.valid_GP, scored.valid_GR
            )

        plainly(model, training, batches, loss_of)

    return Task(
        ours=lambda model: train_ppm(model, groups, training, **quiet()),
        plain=plain,
        units=sum(len(batch) for batch in batches),
    )


def quiet() -> dict[str, Any]:
    """Arguments of a training nobody watches or resumes."""
    return {
        "report": lambda share, metrics: None,
        "state_file": None,
        "should_stop": lambda: False,
        "autocast": torch.bfloat16 if cpu_multiplies_bfloat16() else None,
    }


def measured(
    task: Task, new_model: Callable[[], PreTrainedModel], repeats: int
) -> dict[str, float]:
    """Rates of both loops, in turns; medians. The first turn warms up and does not count."""
    rates: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        arms = [("ours", task.ours), ("plain", task.plain)]
        for name, train in arms if turn % 2 == 0 else arms[::-1]:
            model = new_model()
            wall, cpu = time.perf_counter(), time.process_time()
            train(model)
            rates.setdefault(name, []).append(task.units / (time.perf_counter() - wall))
            rates.setdefault(f"{name}_a_cpu_second", []).append(
                task.units / (time.process_time() - cpu)
            )
    counted = {name: each[1:] for name, each in rates.items()}
    found = {name: round(median(each), 1) for name, each in counted.items()}
    pairs = zip(counted["ours_a_cpu_second"], counted["plain_a_cpu_second"], strict=True)
    return found | {"ratio": round(median(ours / plain for ours, plain in pairs), 3)}


def processor() -> str:
    """The processor's name."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=8, help="training steps of a turn")
    parser.add_argument("--repeats", type=int, default=4, help="turns of each loop")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    corpus = [text for n in range(QUESTIONS) for text in (question(n)[0], *question(n)[1])]
    tokenizer = train_tokenizer(corpus, vocabulary_size=1024)
    encoder = Encoder(tokenizer, MINI)

    def policy() -> PreTrainedModel:
        return checkpoint.random_policy(Shape(), tokenizer, seed=0)

    def scorer() -> PreTrainedModel:
        config = policy().config
        config.num_labels = 1
        return LlamaForSequenceClassification(config)

    line = {
        "benchmark": "trainer",
        "machine": {"cpu": processor(), "cores": os.cpu_count()},
        "threads": options.threads,
        "parameters": sum(weight.numel() for weight in policy().parameters()),
        "precision": "bfloat16" if cpu_multiplies_bfloat16() else "float32",
        "sft_tokens_per_second": measured(
            sft_task(encoder, options.steps), policy, options.repeats
        ),
        "ppm_groups_per_second": measured(
            ppm_task(encoder, options.steps), scorer, options.repeats
        ),
    }
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
