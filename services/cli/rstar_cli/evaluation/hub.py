"""Problem sets of the Hugging Face hub, rewritten in the project's form.

Only data files are fetched and only as data: JSON lines or Parquet, no loading script is run.
`HF_ENDPOINT`, `HF_TOKEN` and the hub's own cache and offline mode work as they do elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from rstar_cli.rows import Row, read_rows
from rstar_common.errors import InvalidInput, Unavailable

_FORMS = ("*.jsonl", "*.json", "*.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSet:
    """Where a set lies and which fields are what."""

    repository: str
    files: str
    """Pattern of the split's files, without their ending."""

    question: str
    answer: Callable[[Row], str]
    labels: Mapping[str, str] = field(default_factory=dict)
    """Our label's name to theirs."""

    wanted: Callable[[Row], bool] = lambda row: True


def _field(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


def _after_hashes(row: Row) -> str:
    # GSM8K's answers end in `#### 1,234`.
    return str(row["answer"]).rpartition("####")[2].strip().replace(",", "")


def _all_of(row: Row) -> str:
    answers = row["final_answer"]
    return ", ".join(str(answer).strip("$") for answer in answers)


SETS: Mapping[str, HubSet] = {
    "gsm8k": HubSet(
        repository="openai/gsm8k", files="main/test*", question="question", answer=_after_hashes
    ),
    "math500": HubSet(
        repository="HuggingFaceH4/MATH-500",
        files="test*",
        question="problem",
        answer=_field("answer"),
        labels={"subject": "subject", "level": "level"},
    ),
    "aime2024": HubSet(
        repository="HuggingFaceH4/aime_2024",
        files="*train*",
        question="problem",
        answer=_field("answer"),
    ),
    "amc23": HubSet(
        repository="math-ai/amc23", files="*test*", question="question", answer=_field("answer")
    ),
    "gaokao2023en": HubSet(
        repository="MARIO-Math-Reasoning/Gaokao2023-Math-En",
        files="*",
        question="question",
        answer=_field("answer"),
    ),
    "olympiadbench": HubSet(
        repository="Hothan/OlympiadBench",
        files="OE_TO_maths_en_COMP/*",
        question="question",
        answer=_all_of,
        labels={"subject": "subfield", "level": "difficulty"},
        wanted=lambda row: bool(row.get("final_answer")),
    ),
}


def fetch(name: str, target: Path) -> None:
    """Write the set called `name` to `target`, in the project's form.

    Raises:
        Unavailable: the hub does not answer, or its client is not installed.
        InvalidInput: what it has is not what is expected, or `target` cannot be written.
    """
    known = SETS[name]
    files = _download(known)
    if not files:
        raise InvalidInput(f"holds no {known.files} of {_FORMS}", field=known.repository)
    lines = "".join(
        json.dumps(problem, ensure_ascii=False) + "\n" for problem in converted(name, files)
    )
    scratch = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(lines, encoding="utf-8")
        scratch.replace(target)
    except OSError as error:
        raise InvalidInput(f"cannot write {target}: {error.strerror}", field="--data") from error


def converted(name: str, files: list[Path]) -> Iterator[dict[str, str]]:
    """The problems of a set's files, one dictionary a line of the project's form.

    Raises:
        InvalidInput: a row lacks a field.
    """
    known = SETS[name]
    rows = (row for path in files for row in read_rows(path))
    for index, row in enumerate(filter(known.wanted, rows)):
        try:
            problem = {
                "id": f"{name}/{index}",
                "question": str(row[known.question]),
                "answer": known.answer(row),
                "answer_kind": _kind(name),
            }
            problem |= {ours: str(row[theirs]) for ours, theirs in known.labels.items()}
        except KeyError as error:
            raise InvalidInput(f"row {index} has no {error}", field=known.repository) from error
        yield problem


def _kind(name: str) -> str:
    from rstar_cli.evaluation.problem_sets import ANSWER_KINDS

    return ANSWER_KINDS[name]


def _download(known: HubSet) -> list[Path]:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise Unavailable("needs the hub's client: pip install 'rstar-math[eval]'") from error
    try:
        root = Path(
            snapshot_download(
                known.repository,
                repo_type="dataset",
                allow_patterns=[f"{known.files}{form[1:]}" for form in _FORMS],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"cannot load {known.repository} from the hub: {reason}") from error
    return sorted(
        path
        for path in root.rglob("*")
        if any(fnmatch(str(path.relative_to(root)), f"{known.files}{form[1:]}") for form in _FORMS)
    )
