"""Locks of the images: complete, by hash, from nowhere in particular; and the SBOM made of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.deployment import INFRA, SERVICES

IMAGES = INFRA / "images"
ROOT = INFRA.parent
LOCKED = (*SERVICES, "cli")
PIN = re.compile(r"([a-z0-9-]+)==([A-Za-z0-9.!]+) \\\n    --hash=sha256:[0-9a-f]{64}\n")


def pins(service):
    text = (IMAGES / "locks" / f"{service}.txt").read_text()
    body = "".join(line for line in text.splitlines(keepends=True) if line[0] != "#")
    assert PIN.sub("", body) == ""  # nothing but pins by hash: no address, no option
    return dict(PIN.findall(body))


def wanted(service):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"][service]]
    return {canonicalize_name(one.name): one.specifier for one in map(Requirement, texts)}


@pytest.mark.parametrize("service", LOCKED)
def test_a_lock_has_what_the_project_asks_for(service):
    found = pins(service)
    for name, specifier in wanted(service).items():
        if name != "torch":
            assert specifier.contains(found[name]), name
    assert "torch" not in found


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_built_from_its_lock(service):
    dockerfile = (IMAGES / service / "Dockerfile").read_text()
    assert f"COPY infra/images/locks/{service}.txt infra/images/locks/" in dockerfile
    assert "--require-hashes" in (IMAGES / "install.sh").read_text()


@pytest.mark.parametrize("service", ["searcher", "sandbox"])
def test_the_sbom_names_every_package_with_its_hash_and_licence(service):
    command = [sys.executable, IMAGES / "sbom.py", service]
    done = subprocess.run(command, capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"]
    )
    listed = {one["name"]: one for one in document["components"]}
    assert set(pins(service)) <= set(listed)
    assert ("sympy" in listed) == (service == "sandbox")
    for name, one in listed.items():
        assert one["purl"] == f"pkg:pypi/{name}@{one['version']}"
        assert len(one["hashes"][0]["content"]) == 64
        assert one["licenses"][0]["license"]["name"]
    [depends] = document["dependencies"]
    assert len(depends["dependsOn"]) == len(listed)


def test_every_package_of_every_image_is_in_the_list_of_licences():
    rows = re.findall(r"^\| (\S+) \| (.+?) \| ", (ROOT / "docs/licences.md").read_text(), re.M)
    listed = dict(rows[1:])
    assert {name for service in LOCKED for name in pins(service)} <= set(listed)
    assert not [
        name for name, licence in listed.items() if licence in ("unknown", "see the package")
    ]
    assert not [name for name, licence in listed.items() if re.search(r"\bA?GPL", licence)]
