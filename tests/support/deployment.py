"""The deployment files and the programs that read them, as tests want them."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
CHART = INFRA / "helm" / "rstar"
SERVICES = ("searcher", "policy", "ppm", "sandbox", "trainer")
INSTALL_SECONDS = 600.0
DIGEST = "sha256:" + "0" * 63 + "1"


@functools.cache
def tools() -> Path:
    """Where helm, hadolint, promtool, prometheus and the schemas are; fetched if they are not."""
    done = subprocess.run(
        [INFRA / "helm" / "tools.sh"],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(done.stdout.splitlines()[-1])


def run_tool(name: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one of the tools to its end."""
    return subprocess.run(
        [tools() / "bin" / name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@functools.cache
def template(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart."""
    return run_tool("helm", "template", "rstar", CHART, "--namespace", "math", *arguments)


def rendered(values_file: str, *settings: str) -> list[dict[str, Any]]:
    """The resources of one values file, every image by digest."""
    digests = [f"{service}.digest={DIGEST}" for service in SERVICES]
    sets = [part for setting in (*digests, *settings) for part in ("--set", setting)]
    done = template("--values", str(CHART / values_file), *sets)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@functools.cache
def _schema_of(kind: str, api_version: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    words = [kind.lower(), *([group.split(".")[0]] if group else []), version]
    directory = tools() / "schemas"

    def retrieve(uri: str) -> Resource[Any]:
        contents = json.loads((directory / Path(uri).name).read_text())
        return Resource.from_contents(contents, default_specification=DRAFT202012)

    registry: Registry[Any] = Registry(retrieve=retrieve)
    schema = json.loads((directory / ("-".join(words) + ".json")).read_text())
    return Draft202012Validator(schema, registry=registry)


def faults(resource: Mapping[str, Any]) -> Sequence[str]:
    """What Kubernetes' or KEDA's schema has against a resource."""
    validator = _schema_of(resource["kind"], resource["apiVersion"])

    def line(error: ValidationError) -> str:
        return f"{resource['kind']}.{'.'.join(map(str, error.absolute_path))}: {error.message}"

    return [line(error) for error in validator.iter_errors(resource)]
