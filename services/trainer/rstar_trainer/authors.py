r"""SFT examples and preference pairs as the authors of rStar-Math publish theirs: two JSON lists.

    SFT    query          the question
           response       <code> step <end_of_step> … <end_of_code> <output>…<end_of_output>
                          <answer> … \boxed{…} <end_of_answer>
    PPM    prompt         the question after `<|user|>:`, common steps after `<|assistant|>:`
           pos, neg       what is preferred and what is rejected: one step, or a whole solution
           pos_count, neg_count   how many of each side the prefix had

Reading and writing are inverse to each other on trajectories of ours, token ids apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rstar_common.errors import InvalidInput
from rstar_common.formats import CLOSING_MARKER, Marker, PromptStep, StepKind
from rstar_trainer.pairs import PreferenceGroup
from rstar_trainer.selection import Example

USER = f"{Marker.USER.value}:\n"
ASSISTANT = f"\n{Marker.ASSISTANT.value}: Let's think step by step and solve the problem with code."
CODE = Marker.CODE.value

_STEP = re.compile(
    rf"(?P<text>.*?)(?P<end>{Marker.END_OF_STEP.value}|{Marker.END_OF_CODE.value}|"
    rf"{Marker.END_OF_ANSWER.value})",
    re.DOTALL,
)
_OUTPUT = re.compile(
    rf"\s*{Marker.OUTPUT.value}(?P<output>.*?){Marker.END_OF_OUTPUT.value}\s*"
    rf"(?:{Marker.ANSWER.value})?",
    re.DOTALL,
)
_KINDS = {CLOSING_MARKER[kind].value: kind for kind in StepKind}


def written_steps(steps: Sequence[PromptStep]) -> str:
    """Steps with their markers, as they stand after `<code>`."""
    return "".join(_written(step) for step in steps)


def _written(step: PromptStep) -> str:
    end = CLOSING_MARKER[step.kind].value
    if step.kind is StepKind.CODE:
        return f"\n{step.text}\n{end}\n"
    if step.kind is StepKind.ANSWER:
        return f"\n{Marker.ANSWER.value}{step.text}{end}"
    output = f"{Marker.OUTPUT.value}{step.output}{Marker.END_OF_OUTPUT.value}"
    return f"\n{step.text}\n{end}\n{output}"


def read_steps(text: str) -> tuple[PromptStep, ...]:
    """The steps of what follows `<code>`; a solution that breaks off keeps what it has."""
    steps: list[PromptStep] = []
    at = 0
    while match := _STEP.match(text, at):
        kind = _KINDS[match["end"]]
        at = match.end()
        output = ""
        if kind is StepKind.FINAL_CODE and (shown := _OUTPUT.match(text, at)):
            output, at = shown["output"], shown.end()
        body = match["text"]
        if kind is StepKind.ANSWER:
            body = body.removeprefix("\n").removeprefix(Marker.ANSWER.value)
        else:
            body = body.strip("\n")
        if body.strip():
            steps.append(PromptStep(text=body, kind=kind, output=output))
    return tuple(steps)


def sft_records(examples: Iterable[Example]) -> list[dict[str, str]]:
    """Examples as the authors' SFT list."""
    return [
        {"query": example.question, "response": f"{CODE}{written_steps(example.steps)}"}
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
        steps = read_steps(response.removeprefix(CODE))
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
        prompt = USER + group.question
        if shared:
            prompt += f"{ASSISTANT}{CODE}{written_steps(lines[0][:shared])}"
        opening = "" if shared else f"{ASSISTANT}{CODE}"
        records += [
            {
                "prompt": prompt,
                "pos": opening + written_steps(preferred[shared:]),
                "neg": opening + written_steps(rejected[shared:]),
                "pos_count": len(group.preferred),
                "neg_count": len(group.rejected),
            }
            for preferred in group.preferred
            for rejected in group.rejected
        ]
    return records


def read_pairs(records: Sequence[Mapping[str, object]]) -> list[PreferenceGroup]:
    """One group a pair of a list of preferences.

    Raises:
        InvalidInput: naming the record at fault.
    """
    found = []
    for number, record in enumerate(records):
        texts = [record.get(name) for name in ("prompt", "pos", "neg")]
        if not all(isinstance(text, str) for text in texts):
            raise InvalidInput("needs `prompt`, `pos` and `neg`", field=f"[{number}]")
        prompt, pos, neg = (str(text) for text in texts)
        question, marker, before = prompt.removeprefix(USER).partition(ASSISTANT)
        common = read_steps(before.removeprefix(CODE))
        lines = [(*common, *read_steps(_after_opening(text))) for text in (pos, neg)]
        if not all(len(line) > len(common) for line in lines):
            raise InvalidInput("has no step to compare", field=f"[{number}]")
        found.append(
            PreferenceGroup(
                question=question,
                preferred=(lines[0],),
                rejected=(lines[1],),
                final=not marker and any(len(line) > 1 for line in lines),
            )
        )
    return found


def _after_opening(text: str) -> str:
    return text.removeprefix(ASSISTANT).removeprefix(CODE)
