"""The random-program proposer: blind to words, seeded, stateless, and writing code that runs."""

from __future__ import annotations

import contextlib
import io
import re
from random import Random

import pytest

from rstar_policy.bootstrap import ProposedStep, RandomProgramProposer
from rstar_policy.bootstrap.spans import is_letter_string
from rstar_policy.bootstrap.values import VALUE_NAMES

QUESTIONS = [
    "Let a = 1 - -1. Suppose 3*q - 2*q + 3 = 0, -5*f + 14 = a*q. Solve 8*j = f*j - 12 for j.",
    "Let w(m) be the second derivative of m**5/20 + 7*m**4/12 - 5*m. Let c be w(-7). What is 3*c?",
    "Which is the nearest to -1?  (a) -1  (b) -0.5  (c) 1  (d) 3/2",
    "Calculate prob of picking 1 r and 1 q when two letters picked from {q: 1, r: 10, f: 1}.",
    "What is prob of sequence enf when three letters picked without replacement from afnellnnn?",
    "How many minutes are there between 7:14 PM and 5:24 AM?",
    "In base 16, what is 3 - 75d?",
    "What is the x'th term of -68, -104, -138, -170, -200, -228?",
    "Suppose 2*o**2/7 + 12*o/7 = 0. What is o?",
    "Is 2112 a multiple of 66?",
    "Simplify (-3*sqrt(891)*2)**2 + 4.",
    "What is -1 less than -23.057?",
    "A farmer sells 12 eggs for 3 dollars each day.",
    "Hello there",
    "",
]
OTHER_WORDS = ["quartz", "fjord", "wumpus", "jackdaw", "byte", "crypt", "xylem", "Gizmo", "vamp"]


@pytest.fixture(scope="module")
def proposer() -> RandomProgramProposer:
    return RandomProgramProposer()


def walk(proposer: RandomProgramProposer, question: str, seed: int) -> list[ProposedStep]:
    """One whole random program."""
    steps: list[ProposedStep] = []
    while not steps or not steps[-1].final:
        path = [step.text for step in steps]
        steps += proposer.propose(question, path, num_candidates=1, seed=seed)
        assert len(steps) <= 8
    return steps


def output(texts: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec("\n".join(texts), {})
    return printed.getvalue().strip()


def answers_by(
    proposer: RandomProgramProposer, question: str, operation: str, path: tuple[str, ...] = ()
) -> set[str]:
    """What the proposed programs print that set up, apply one such operation at most, and end."""
    found: set[str] = set()
    for step in set(proposer.propose(question, path, num_candidates=256, seed=1)):
        title = step.text.partition("\n")[0].rpartition(": ")[2]
        if step.final:
            with contextlib.suppress(Exception):  # a program that raises is no answer
                found.add(output([*path, step.text]))
        elif title in {"define", "name"} or (title == operation and f": {title}\n" not in path[-1]):
            found |= answers_by(proposer, question, operation, (*path, step.text))
    return found


def word_spans(question: str) -> list[re.Match[str]]:
    """The words that are no symbols: no names of functions, letter strings or clock marks."""
    letters = {a for bag in re.findall(r"\{(.*?)\}", question) for a in re.findall("[a-z]", bag)}
    found = re.findall(r"\b[a-z]+\b", question)
    letters.update(*[set(word) for word in found if is_letter_string(word)])
    return [
        match
        for match in re.finditer(r"(?<![\w'])[A-Za-z]{2,}(?![\w(])", question)
        if not (set(match.group()) <= letters or match.group() in {"AM", "PM"})
    ]


def rewrite(question: str, words: list[str]) -> str:
    spans = word_spans(question)
    for match, word in reversed(list(zip(spans, words, strict=True))):
        question = question[: match.start()] + word + question[match.end() :]
    return question


@pytest.mark.parametrize("question", QUESTIONS)
def test_permuting_or_replacing_words_changes_nothing(
    proposer: RandomProgramProposer, question: str
) -> None:
    rng = Random(7)
    words = [match.group() for match in word_spans(question)]
    shuffled = rng.sample(words, len(words))
    replaced = [rng.choice(OTHER_WORDS) for _ in words]
    for other in (rewrite(question, shuffled), rewrite(question, replaced)):
        for seed in range(25):
            assert walk(proposer, other, seed) == walk(proposer, question, seed)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_same_arguments_give_the_same_candidates_whatever_came_before(
    proposer: RandomProgramProposer, question: str
) -> None:
    path: list[str] = []
    first = proposer.propose(question, path, num_candidates=8, seed=3)
    proposer.propose("What is 2 plus 2?", [], num_candidates=8, seed=3)
    assert proposer.propose(question, path, num_candidates=8, seed=3) == first
    assert RandomProgramProposer().propose(question, path, num_candidates=8, seed=3) == first


@pytest.mark.parametrize("question", QUESTIONS)
def test_programs_are_python_and_end_by_printing(
    proposer: RandomProgramProposer, question: str
) -> None:
    for seed in range(20):
        steps = walk(proposer, question, seed)
        compile("\n".join(step.text for step in steps), "program", "exec")
        assert steps[0].final or steps[0].text.startswith("# Step 1: ")
        assert steps[-1].text.startswith("# Now print the final answer\n")
        assert "print(" in steps[-1].text


@pytest.mark.parametrize(
    ("question", "operation", "answer"),
    [
        (QUESTIONS[0], "solve", "-3"),
        ("Let o(m) = m - 4. Let i be o(7). Calculate i.", "", "3"),
        ("Subtract 51 from -3.1854.", "subtract", "-54.1854"),
        ("Calculate 0.05*-1.74.", "", "-0.087"),
        ("Which is the nearest to -1?  (a) -1  (b) -0.5  (c) 1", "nearest", "a"),
        ("What is the second biggest value in 0.01, -1/6, 2/91?", "kth_big", "0.01"),
        ("Which is bigger: -1 or 3/4?", "kth_big", "3/4"),
        ("Solve 2*b - 4 - 6 = 5*o, 5*o = -3*b - 35 for b.", "solve_two", "-5"),
        ("Suppose 2*o**2/7 + 12*o/7 = 0. What is o?", "", "-6, 0"),
        ("How many minutes are there between 7:14 PM and 5:24 AM?", "minutes", "610"),
        ("What is 300 minutes after 4:36 PM?", "later", "9:36 PM"),
        ("In base 16, what is 3 - 75d?", "in_base", "-75a"),
        ("What is the g'th term of 67, 61, 55?", "formula", "73 - 6*g"),
        ("What is prob of sequence sl when two picked from {l: 3, s: 2, o: 3}?", "draw_order",
         "3/28"),
        ("Let c(b) be the first derivative of 4*b**3 - 11*b**2 + 12. Factor c(k).", "factor",
         "2*k*(6*k - 11)"),
    ],
)  # fmt: skip
def test_the_right_program_is_among_the_candidates(
    proposer: RandomProgramProposer, question: str, operation: str, answer: str
) -> None:
    assert answer in answers_by(proposer, question, operation)


def test_questions_of_one_kind_draw_programs_of_their_own_under_one_seed(
    proposer: RandomProgramProposer,
) -> None:
    def operations(question: str) -> tuple[str, ...]:
        return tuple(step.text.splitlines()[0] for step in walk(proposer, question, 7))

    drawn = {operations(f"Divide {n} by {n // 7}.") for n in range(100, 200)}
    assert len(drawn) > 30


def test_candidates_of_one_call_differ_where_there_is_a_choice(
    proposer: RandomProgramProposer,
) -> None:
    question = "What is the highest common divisor of 803 and 33?"
    firsts = (proposer.propose(question, [], num_candidates=1, seed=n)[0].text for n in range(99))
    named = next(text for text in firsts if " = E(" in text)
    texts = [s.text for s in proposer.propose(question, [named], num_candidates=32, seed=5)]
    assert len(set(texts)) == 32


def test_the_version_names_menu_and_code() -> None:
    assert re.fullmatch(r"bootstrap-[0-9a-f]{12}", RandomProgramProposer().version)


def test_steps_of_a_foreign_form_are_borne(proposer: RandomProgramProposer) -> None:
    path = ["# Step 1: think\nx = ((", "# Step 2: odd\nR = 3"]
    assert proposer.propose("What is 2 plus 2?", path, num_candidates=4, seed=1)


@pytest.mark.parametrize(
    "question",
    [
        "Which point is closest to the origin? (a) (1, 2) (b) (3, 4)",
        f"Let {', '.join(VALUE_NAMES)} be points. What is 12*x + 3 at 4?",
        f"Two letters picked from {{a: 2, b: 3}}. {' '.join(VALUE_NAMES)}",
    ],
    ids=["choices that hold commas", "every name is taken", "no name is left for letters"],
)
def test_a_question_of_a_foreign_form_is_borne(
    proposer: RandomProgramProposer, question: str
) -> None:
    for seed in range(10):
        assert walk(proposer, question, seed)
