r"""The few-shot prompt for a stock instruct model: the bootstrap policy of the paper.

A general code model has never seen the markers, so they are told to it as text: each must
stand alone on a line, and counts only there. The chat turns are ChatML, as the Qwen2.5
family speaks it; two worked examples show the form. Later steps continue the assistant's
own turn, so everything before the first step is one shared prefix of the prompt cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tokenizers import Tokenizer

from rstar_common.errors import InvalidInput
from rstar_common.formats import (
    CLOSING_MARKER,
    KIND_OF_CLOSING_MARKER,
    MAX_SHOWN_OUTPUT,
    Marker,
    PromptStep,
    StepKind,
    boxed_answer,
)
from rstar_policy.prompter import Reading, expected_kinds

INSTRUCT = "instruct"
"""Name of this format in settings and manifests."""

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"

INSTRUCTION = """\
Solve the problem step by step in Python. Write short steps. Each step begins with a comment \
`# Step k: ...` that says what is done, followed by code that runs; variables of earlier steps \
stay defined. Close each step with <end_of_step> alone on a line. The last step begins with \
`# Now print the final answer`, prints the answer, and is closed by <end_of_code> alone on a \
line. You are then shown its output; state the answer as \\boxed{...} and close it with \
<end_of_answer> alone on a line.\
"""

EXAMPLES = (
    (
        "A shop sells pens at 3 for $2. How many dollars do 18 pens cost?",
        """\
<code>
# Step 1: Find how many groups of 3 pens there are
groups = 18 // 3
<end_of_step>
# Step 2: Each group costs 2 dollars
cost = groups * 2
<end_of_step>
# Now print the final answer
print(cost)
<end_of_code>
<output>
12
<end_of_output>
<answer>
18 pens cost \\boxed{12} dollars.
<end_of_answer>""",
    ),
    (
        "What is the sum of the roots of $x^2 - 5x + 6 = 0$?",
        """\
<code>
# Step 1: Solve the equation with sympy
from sympy import symbols, solve
x = symbols('x')
roots = solve(x**2 - 5*x + 6, x)
<end_of_step>
# Now print the final answer
print(sum(roots))
<end_of_code>
<output>
5
<end_of_output>
<answer>
The sum of the roots is \\boxed{5}.
<end_of_answer>""",
    ),
)


class InstructPrompter:
    """Implements `Prompter` with text markers."""

    name = INSTRUCT

    def __init__(self, tokenizer: Tokenizer, end_of_text_ids: Sequence[int]) -> None:
        """Check that the tokenizer speaks ChatML.

        Raises:
            InvalidInput: it does not.
        """
        self._tokenizer = tokenizer
        self._turn: dict[str, int] = {}
        for token in (TURN_START, TURN_END):
            token_id = tokenizer.token_to_id(token)
            if token_id is None:
                raise InvalidInput(f"the tokenizer has no token {token}", field="prompt_format")
            self._turn[token] = token_id
        # A question that spells a turn token must stay text.
        tokenizer.encode_special_tokens = True
        self.tokenizer_hash = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]
        self._end_of_text_ids = frozenset({*end_of_text_ids, self._turn[TURN_END]})
        self.stop_token_ids: Sequence[int] = sorted(self._end_of_text_ids)
        self.stop_texts: Sequence[str] = [
            f"\n{marker.value}\n" for marker in KIND_OF_CLOSING_MARKER
        ]
        examples = [
            turn
            for question, solution in EXAMPLES
            for turn in (("user", question), ("assistant", solution))
        ]
        self._shared_ids = self._turns([("system", INSTRUCTION), *examples])

    def prompt_ids(self, question: str, path: Sequence[PromptStep]) -> list[int]:
        expected_kinds(path, output_is_answer=False)
        ids = [*self._shared_ids, *self._turns([("user", question)])]
        ids += [self._turn[TURN_START], *self._encode(f"assistant\n{Marker.CODE.value}\n")]
        for step in path:
            if self._replayable(step):
                ids += step.token_ids
            else:
                ids += self._encode(f"{step.text}\n{CLOSING_MARKER[step.kind].value}\n")
            if step.kind is StepKind.FINAL_CODE:
                shown = step.output.strip()[:MAX_SHOWN_OUTPUT]
                ids += self._encode(
                    f"{Marker.OUTPUT.value}\n{shown}\n"
                    f"{Marker.END_OF_OUTPUT.value}\n{Marker.ANSWER.value}\n"
                )
        return ids

    def read(self, token_ids: Sequence[int], path: Sequence[PromptStep]) -> Reading:
        expected = expected_kinds(path, output_is_answer=False)
        ended = bool(token_ids) and token_ids[-1] in self._end_of_text_ids
        body = token_ids[:-1] if ended else token_ids
        text = self._tokenizer.decode(list(body), skip_special_tokens=False)
        text, kind = _cut_at_marker(text, whole=ended)
        answer = boxed_answer(text) if StepKind.ANSWER in expected else None
        if kind is None and ended and answer is not None:
            kind = StepKind.ANSWER
        # A marker that nothing stands before did not stop the engine: what follows it was not run.
        complete = kind in expected and bool(text.strip())
        return Reading(text=text, kind=kind, complete=complete, answer=answer if complete else None)

    def _replayable(self, step: PromptStep) -> bool:
        # A step that the model closed by ending its turn cannot stand within one.
        return (
            bool(step.token_ids)
            and step.tokenizer == self.tokenizer_hash
            and step.token_ids[-1] not in self._end_of_text_ids
        )

    def _turns(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        ids: list[int] = []
        for role, text in turns:
            ids += [self._turn[TURN_START], *self._encode(f"{role}\n{text}")]
            ids += [self._turn[TURN_END], *self._encode("\n")]
        return ids

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _cut_at_marker(text: str, *, whole: bool) -> tuple[str, StepKind | None]:
    """The text before the first closing marker that has a line of its own, and its kind.

    The last line counts only if it cannot grow any more: if `whole`, or a newline follows.
    """
    lines = text.split("\n")
    finished = len(lines) if whole else len(lines) - 1
    for index in range(finished):
        for marker, kind in KIND_OF_CLOSING_MARKER.items():
            if lines[index] == marker.value:
                return "\n".join(lines[:index]), kind
    return text, None
