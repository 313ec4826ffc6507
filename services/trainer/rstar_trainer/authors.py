r"""SFT examples and preference pairs in the very form the authors of rStar-Math publish theirs.

Source: `train/sft_data_examples.json`, `train/rm_data_examples.json` and the scripts that write
and read them (microsoft/rStar, branch rStar-math). Two JSON lists of objects:

    SFT    query          the question
           response       the solution
    PPM    prompt         what both sides share: the question, and the assistant's line and steps
           neg, pos       how it goes on where it is rejected, where it is preferred
           neg_count, pos_count   how many of each were chosen there; a pair weighs 1 / product

A solution is one text, and a step's part of it is what follows the step before:

    <code>\nSTEP\n<end_of_step>         the first
    \n\nSTEP\n<end_of_step>             another
    \n\nSTEP\n<end_of_code>\n<output>PRINTED<end_of_output>
    \n<answer>… \boxed{…}<end_of_answer>

So every part ends at a closing marker, where a scorer reads its value, and newlines open the next.
`prompt` and `pos` one after the other are the solution so far. Of whole trajectories the prompt is
the question alone, and the assistant's line opens `pos` and `neg`.

Reading and writing are inverse to each other on trajectories of ours, token ids, newlines around a
step and what a prompt does not show of an output apart. A text that spells a marker cannot be told
from one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rstar_common.errors import InvalidInput
from rstar_common.formats import (
    CLOSING_MARKER,
    MAX_SHOWN_OUTPUT,
    Marker,
    PromptStep,
    StepKind,
)
from rstar_trainer.pairs import PreferenceGroup
from rstar_trainer.selection import Example

USER = f"{Marker.USER.value}:\n"
ASSISTANT = f"\n{Marker.ASSISTANT.value}: Let's think step by step and solve the problem with code."
CODE = Marker.CODE.value

Line: TypeAlias = tuple[PromptStep, ...]
"""The steps from the question to the one that is compared."""

Lines: TypeAlias = tuple[Line, ...]

_OPENING = re.compile(rf"(?:{re.escape(ASSISTANT)})?(?:\s*{CODE})?")
_STEP = re.compile(
    rf"(?P<text>.*?)(?P<end>{Marker.END_OF_STEP.value}|{Marker.END_OF_CODE.value}|"
    rf"{Marker.END_OF_ANSWER.value})",
    re.DOTALL,
)
_OUTPUT = re.compile(
    rf"\s*{Marker.OUTPUT.value}(?P<output>.*?){Marker.END_OF_OUTPUT.value}", re.DOTALL
)
_ANSWER = re.compile(rf"\A\s*{Marker.ANSWER.value}")
_KINDS = {CLOSING_MARKER[kind].value: kind for kind in StepKind}


def step_texts(steps: Sequence[PromptStep]) -> list[str]:
    """The part of each step; joined they are the solution."""
    return [_step_text(step, first=not index) for index, step in enumerate(steps)]


def _step_text(step: PromptStep, *, first: bool) -> str:
    end = CLOSING_MARKER[step.kind].value
    if step.kind is StepKind.ANSWER:
        return f"\n{Marker.ANSWER.value}{step.text}{end}"
    # A model that learned from this form writes the newlines around a step itself.
    body = step.text.strip("\n")
    text = f"{CODE}\n{body}\n{end}" if first else f"\n\n{body}\n{end}"
    if step.kind is StepKind.CODE:
        return text
    shown = step.output.strip()[:MAX_SHOWN_OUTPUT]
    return f"{text}\n{Marker.OUTPUT.value}{shown}{Marker.END_OF_OUTPUT.value}"


def read_steps(text: str) -> Line:
    """The steps of a solution or of a part of one; what breaks off keeps the steps it has."""
    steps: list[PromptStep] = []
    opening = _OPENING.match(text)
    at = opening.end() if opening else 0
    while match := _STEP.match(text, at):
        kind, body, at = _KINDS[match["end"]], match["text"], match.end()
        output = ""
        if kind is StepKind.FINAL_CODE and (shown := _OUTPUT.match(text, at)):
            output, at = shown["output"], shown.end()
        if body.strip():
            body = _ANSWER.sub("", body, 1) if kind is StepKind.ANSWER else body.strip("\n")
            steps.append(PromptStep(text=body, kind=kind, output=output))
        elif kind is StepKind.FINAL_CODE and steps and steps[-1].kind is StepKind.CODE:
            # A step that failed is closed twice, so that its error can be shown.
            steps[-1] = replace(steps[-1], kind=kind, output=output)
    return tuple(steps)


def sft_records(examples: Iterable[Example]) -> list[dict[str, str]]:
    """Examples as the authors' SFT list."""
    return [
        {"query": example.question, "response": "".join(step_texts(example.steps))}
        for example in examples
    ]


def read_sft(records: Sequence[Mapping[str, object]]) -> list[Example]:
    """The examples of an SFT list.

    Raises:
        InvalidInput: naming the record at fault.
    """
    found = []
    for number, record in enumerate(records):
        query, response = record.get("query"), record.get("response")
        if not isinstance(query, str) or not isinstance(response, str):
            raise InvalidInput("needs `query` and `response`", field=f"[{number}]")
        steps = read_steps(response)
        if not steps:
            raise InvalidInput("has no step", field=f"[{number}].response")
        found.append(Example(question=query, steps=steps, mean_q=1.0))
    return found


def pair_records(groups: Iterable[PreferenceGroup]) -> list[dict[str, object]]:
    """Every pair of `groups` as the authors' list of preferences."""
    records: list[dict[str, object]] = []
    for group in groups:
        lines = [*group.preferred, *group.rejected]
        shared = 0 if group.final else min(len(line) for line in lines) - 1
        common = ASSISTANT + "".join(step_texts(lines[0])[:shared])
        prompt, opening = ("", common) if group.final else (common, "")
        records += [
            {
                "prompt": f"{USER}{group.question}{prompt}",
                "neg": opening + "".join(step_texts(rejected)[shared:]),
                "pos": opening + "".join(step_texts(preferred)[shared:]),
                "neg_count": len(group.rejected),
                "pos_count": len(group.preferred),
            }
            for preferred in group.preferred
            for rejected in group.rejected
        ]
    return records


def read_pairs(records: Sequence[Mapping[str, object]]) -> list[PreferenceGroup]:
    """The pairs of a list of preferences, those of one prompt together.

    A group holds every pair of its two sides. Records of one prompt that lack some (the authors
    leave out pairs below a margin; two trees may ask the same question) become several groups:
    no pair is taught that the file does not hold. The counts say what the groups say themselves.

    Raises:
        InvalidInput: naming the record at fault.
    """
    prompts: dict[_Prompt, dict[Line, dict[Line, None]]] = {}
    for number, record in enumerate(records):
        prompt, preferred, rejected = _read_pair(record, where=f"[{number}]")
        prompts.setdefault(prompt, {}).setdefault(preferred, {})[rejected] = None
    return [
        PreferenceGroup(
            question=prompt.question,
            preferred=preferred,
            rejected=rejected,
            final=prompt.final,
        )
        for prompt, pairs in prompts.items()
        for preferred, rejected in _products(pairs)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """What the records of a group have in common."""

    question: str
    common: Line
    final: bool


def _read_pair(record: Mapping[str, object], *, where: str) -> tuple[_Prompt, Line, Line]:
    texts = [record.get(name) for name in ("prompt", "pos", "neg")]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput("needs `prompt`, `pos` and `neg`", field=where)
    prompt, pos, neg = (str(text) for text in texts)
    question, assistant, before = prompt.removeprefix(USER).partition(ASSISTANT)
    common = read_steps(before)
    preferred, rejected = read_steps(pos), read_steps(neg)
    if not (preferred and rejected):
        raise InvalidInput("has no step to compare", field=where)
    return (
        _Prompt(question=question, common=common, final=not assistant),
        (*common, *preferred),
        (*common, *rejected),
    )


def _products(pairs: Mapping[Line, Mapping[Line, None]]) -> list[tuple[Lines, Lines]]:
    """`pairs` as products: the lines that are preferred to the very same lines, and those."""
    sides: dict[frozenset[Line], tuple[list[Line], Lines]] = {}
    for preferred, rejected in pairs.items():
        sides.setdefault(frozenset(rejected), ([], tuple(rejected)))[0].append(preferred)
    return [(tuple(preferred), rejected) for preferred, rejected in sides.values()]
