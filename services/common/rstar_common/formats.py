r"""How a question and its steps become tokens: one definition for policy, PPM and trainer.

A prompt is a sequence of pieces: markers, which are single special tokens, and text,
which is tokenized with special tokens switched off, so that a question or a step that
spells a marker cannot forge one. Steps the policy generated are replayed by their own
token ids. Source of the markers: rStar-Math's trajectory format (paper section 3.1 and the
authors' code).

    mini    <|user|> question <|assistant|> <code> step <end_of_step> … step <end_of_code>
            <output> printed <end_of_output>                     the output is the answer
    rstar   <|user|>:\n question \n<|assistant|>: Let's think … <code> step … <end_of_code>
            <output> printed <end_of_output> <answer> … \boxed{…} <end_of_answer>
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from rstar_common.errors import InvalidInput


class Marker(Enum):
    """The special tokens of a trajectory."""

    USER = "<|user|>"
    ASSISTANT = "<|assistant|>"
    CODE = "<code>"
    END_OF_STEP = "<end_of_step>"
    END_OF_CODE = "<end_of_code>"
    OUTPUT = "<output>"
    END_OF_OUTPUT = "<end_of_output>"
    ANSWER = "<answer>"
    END_OF_ANSWER = "<end_of_answer>"


class StepKind(Enum):
    """The place of a step in a trajectory; the names of `rstar.v1.StepKind`."""

    CODE = "code"
    FINAL_CODE = "final_code"
    ANSWER = "answer"


CLOSING_MARKER = {
    StepKind.CODE: Marker.END_OF_STEP,
    StepKind.FINAL_CODE: Marker.END_OF_CODE,
    StepKind.ANSWER: Marker.END_OF_ANSWER,
}
KIND_OF_CLOSING_MARKER = {marker: kind for kind, marker in CLOSING_MARKER.items()}

Piece = Marker | str

MAX_SHOWN_OUTPUT = 400
"""Characters of a program's output that a model is shown: no answer worth scoring is longer, and
one program that prints a huge number must not fill the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStep:
    """An accepted step as the prompt needs it."""

    text: str
    """Without the closing marker."""

    kind: StepKind
    output: str = ""
    """What it printed; shown for FINAL_CODE only."""

    token_ids: tuple[int, ...] = ()
    """As generated, closing marker included; empty when unknown."""

    tokenizer: str = ""
    """Hash of the tokenizer of `token_ids`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFormat:
    """One way of writing trajectories."""

    name: str
    before_question: tuple[Piece, ...]
    after_question: tuple[Piece, ...]
    output_is_answer: bool
    """Whether the output of the final code step is the answer, so that no ANSWER step follows."""

    answer_of: Callable[[str], str | None] = field(repr=False)
    """Extracts the final answer from an ANSWER step's text."""

    def question_pieces(self, question: str) -> list[Piece]:
        """Everything before the first step."""
        return [*self.before_question, question, *self.after_question]

    def after_step(self, step: PromptStep) -> list[Piece]:
        """What the system writes after a step, its closing marker apart."""
        if step.kind is not StepKind.FINAL_CODE:
            return []
        shown = step.output.strip()[:MAX_SHOWN_OUTPUT]
        pieces: list[Piece] = [Marker.OUTPUT, shown, Marker.END_OF_OUTPUT]
        return pieces if self.output_is_answer else [*pieces, Marker.ANSWER]


_BOXED = re.compile(r"\\boxed\s*\{")


def boxed_answer(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{…}`, or None."""
    for match in reversed(list(_BOXED.finditer(text))):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[match.end() : end].strip()
    return None


MINI = PromptFormat(
    name="mini",
    before_question=(Marker.USER,),
    after_question=(Marker.ASSISTANT, Marker.CODE),
    output_is_answer=True,
    answer_of=boxed_answer,
)
"""The bundled models' format: as few tokens as possible."""

RSTAR = PromptFormat(
    name="rstar",
    before_question=(Marker.USER, ":\n"),
    after_question=(
        "\n",
        Marker.ASSISTANT,
        ": Let's think step by step and solve the problem with code.",
        Marker.CODE,
    ),
    output_is_answer=False,
    answer_of=boxed_answer,
)
"""The authors' format, for fine-tuned Qwen2.5-Math and Phi-3 models."""

FORMATS = {prompt_format.name: prompt_format for prompt_format in (MINI, RSTAR)}


class Tokenizer(Protocol):
    """What `Encoder` needs of `tokenizers.Tokenizer`."""

    encode_special_tokens: bool

    def encode(self, sequence: str, *, add_special_tokens: bool = ...) -> _Encoding: ...
    def token_to_id(self, token: str) -> int | None: ...
    def to_str(self) -> str: ...


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...


class Encoder:
    """Turns pieces into token ids with one checkpoint's tokenizer."""

    def __init__(self, tokenizer: Tokenizer, prompt_format: PromptFormat) -> None:
        """Check that every marker is a single token.

        Raises:
            InvalidInput: naming the marker the tokenizer lacks.
        """
        # Text that spells a marker must stay text.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.format = prompt_format
        self.tokenizer_hash = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]
        self.marker_ids: dict[Marker, int] = {}
        for marker in Marker:
            token_id = tokenizer.token_to_id(marker.value)
            if token_id is None:
                raise InvalidInput(f"the tokenizer has no token {marker.value}", field="tokenizer")
            self.marker_ids[marker] = token_id

    def encode(self, pieces: Sequence[Piece]) -> list[int]:
        """Token ids of `pieces`, one after another; neighbouring texts are one text.

        A tokenizer may join letters across the seam of two texts, or begin each with a space.
        """
        ids: list[int] = []
        text = ""
        for piece in [*pieces, None]:
            if isinstance(piece, str):
                text += piece
                continue
            if text:
                ids += self._tokenizer.encode(text, add_special_tokens=False).ids
                text = ""
            if piece is not None:
                ids.append(self.marker_ids[piece])
        return ids

    def step_ids(self, step: PromptStep) -> list[int]:
        """A step with its closing marker, by its own ids where they fit this tokenizer."""
        if step.token_ids and step.tokenizer == self.tokenizer_hash:
            return list(step.token_ids)
        return self.encode([step.text, CLOSING_MARKER[step.kind]])

    def prompt_ids(self, question: str, path: Sequence[PromptStep]) -> list[int]:
        """The whole prompt after which the next step is generated, or a step is scored."""
        ids = self.encode(self.format.question_pieces(question))
        for step in path:
            ids += self.step_ids(step) + self.encode(self.format.after_step(step))
        return ids
