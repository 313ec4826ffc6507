"""From a query to token ids, and from generated ids to a step.

A prompter belongs to one checkpoint: its tokenizer, its prompt format, its end-of-text
ids. `MarkerPrompter` is for models that were fine-tuned with the markers as single
tokens; a stock model's text markers are `prompts.InstructPrompter`'s. Both are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tokenizers import Tokenizer

from rstar_common.errors import InvalidInput
from rstar_common.formats import (
    KIND_OF_CLOSING_MARKER,
    Encoder,
    PromptFormat,
    PromptStep,
    StepKind,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a generated sequence says."""

    text: str
    kind: StepKind | None
    complete: bool
    answer: str | None = None
    output_is_answer: bool = False


class Prompter(Protocol):
    """One checkpoint's way of writing and reading trajectories."""

    @property
    def name(self) -> str:
        """Name of the prompt format."""
        ...

    @property
    def tokenizer_hash(self) -> str: ...

    @property
    def stop_token_ids(self) -> Sequence[int]:
        """Generation ends after any of these."""
        ...

    @property
    def stop_texts(self) -> Sequence[str]:
        """Generation ends after any of these; needs the engine to know the tokenizer."""
        ...

    def prompt_ids(self, question: str, path: Sequence[PromptStep]) -> list[int]:
        """The prompt after which the next step is generated.

        Raises:
            InvalidInput: no step can follow `path`.
        """
        ...

    def read(self, token_ids: Sequence[int], path: Sequence[PromptStep]) -> Reading:
        """Understand what was generated after `path`."""
        ...


class MarkerPrompter:
    """Implements `Prompter` for tokenizers that hold every marker as one token."""

    def __init__(
        self, tokenizer: Tokenizer, prompt_format: PromptFormat, end_of_text_ids: Sequence[int]
    ) -> None:
        """Check the tokenizer.

        Raises:
            InvalidInput: naming the marker it lacks.
        """
        self._tokenizer = tokenizer
        self._encoder = Encoder(tokenizer, prompt_format)
        self._format = prompt_format
        self._end_of_text_ids = frozenset(end_of_text_ids)
        marker_ids = self._encoder.marker_ids
        self._kind_of_id = {
            marker_ids[marker]: kind for marker, kind in KIND_OF_CLOSING_MARKER.items()
        }
        # An opening marker within a step is a derailed sample: more tokens cannot mend it.
        self._stop_token_ids = sorted({*marker_ids.values(), *end_of_text_ids})

    @property
    def name(self) -> str:
        return self._format.name

    @property
    def tokenizer_hash(self) -> str:
        return self._encoder.tokenizer_hash

    @property
    def stop_token_ids(self) -> Sequence[int]:
        return self._stop_token_ids

    @property
    def stop_texts(self) -> Sequence[str]:
        return ()

    def prompt_ids(self, question: str, path: Sequence[PromptStep]) -> list[int]:
        expected_kinds(path, output_is_answer=self._format.output_is_answer)
        return self._encoder.prompt_ids(question, path)

    def read(self, token_ids: Sequence[int], path: Sequence[PromptStep]) -> Reading:
        expected = expected_kinds(path, output_is_answer=self._format.output_is_answer)
        last = token_ids[-1] if token_ids else None
        body = token_ids[:-1] if last in self._stop_token_ids else token_ids
        # Special tokens stay visible: code that holds one must fail, not silently lose it.
        text = self._tokenizer.decode(list(body), skip_special_tokens=False)
        kind = self._kind_of_id.get(last) if last is not None else None
        answer = self._format.answer_of(text) if StepKind.ANSWER in expected else None
        if last in self._end_of_text_ids and answer is not None:
            # A model may end its text instead of closing its answer; nothing is missing.
            kind = StepKind.ANSWER
        complete = kind in expected
        return Reading(
            text=text,
            kind=kind,
            complete=complete,
            answer=answer if complete else None,
            output_is_answer=kind is StepKind.FINAL_CODE and self._format.output_is_answer,
        )


def expected_kinds(path: Sequence[PromptStep], *, output_is_answer: bool) -> frozenset[StepKind]:
    """The kinds of step that may follow `path`.

    Raises:
        InvalidInput: none may, or the path itself is out of order.
    """
    for index, step in enumerate(path[:-1]):
        followed_by_answer = (
            step.kind is StepKind.FINAL_CODE
            and index == len(path) - 2
            and path[-1].kind is StepKind.ANSWER
        )
        if step.kind is not StepKind.CODE and not followed_by_answer:
            raise InvalidInput("has steps after a final one", field="path")
    if not path or path[-1].kind is StepKind.CODE:
        return frozenset({StepKind.CODE, StepKind.FINAL_CODE})
    if path[-1].kind is StepKind.FINAL_CODE and not output_is_answer:
        return frozenset({StepKind.ANSWER})
    raise InvalidInput("ends with a final step; nothing follows it", field="path")
