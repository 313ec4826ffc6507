"""Every TOML file of the repository is a valid configuration of its service."""

from __future__ import annotations

from pathlib import Path

import pytest

from rstar_common.config import load_settings
from rstar_policy.settings import PolicySettings
from rstar_ppm.main import PpmSettings
from rstar_sandbox.settings import SandboxSettings
from rstar_searcher.service_settings import SearcherSettings
from rstar_trainer.main import TrainerSettings

FILES = sorted(Path("infra/config").glob("*.toml"))
SETTINGS = {
    "policy": PolicySettings,
    "ppm": PpmSettings,
    "sandbox": SandboxSettings,
    "searcher": SearcherSettings,
    "trainer": TrainerSettings,
}


def test_every_service_has_a_file():
    assert {path.stem for path in FILES} >= SETTINGS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_file_loads(path, monkeypatch):
    monkeypatch.setenv("RSTAR_CONFIG", str(path.resolve()))
    load_settings(SETTINGS[path.stem.split("-")[0]])
