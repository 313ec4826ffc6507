"""Settings: typos fail, and the message names the setting."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rstar_common.config import EXIT_BAD_SETTINGS, ServiceSettings, load_settings


class ToySettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RSTAR_TOY_")

    slots: int = Field(default=2, ge=1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RSTAR_CONFIG", raising=False)


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path: Path):
    config = tmp_path / "toy.toml"
    config.write_text('slots = 3\n[grpc]\naddress = "127.0.0.1:7"\ndrain_seconds = 1.0\n')
    monkeypatch.setenv("RSTAR_CONFIG", str(config))
    monkeypatch.setenv("RSTAR_TOY_GRPC__ADDRESS", "127.0.0.1:9")
    settings = load_settings(ToySettings)
    assert settings.slots == 3
    assert settings.grpc.address == "127.0.0.1:9"
    assert settings.grpc.drain_seconds == 1.0


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("RSTAR_TOY_SLOTS", "0", "slots"),
        ("RSTAR_TOY_SLOTZ", "2", "RSTAR_TOY_SLOTZ: unknown setting"),
        ("RSTAR_TOY_GRPC__ADRESS", "x", "grpc.adress"),
        ("RSTAR_CONFIG", "/nowhere/toy.toml", "no such file"),
    ],
)
def test_a_wrong_setting_ends_the_start_and_is_named(monkeypatch, capsys, name, value, complaint):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ending:
        load_settings(ToySettings)
    assert ending.value.code == EXIT_BAD_SETTINGS
    assert complaint in capsys.readouterr().err


def test_an_unknown_key_in_the_file_fails(monkeypatch, tmp_path, capsys):
    config = tmp_path / "toy.toml"
    config.write_text("slotz = 3\n")
    monkeypatch.setenv("RSTAR_CONFIG", str(config))
    with pytest.raises(SystemExit):
        load_settings(ToySettings)
    assert "slotz" in capsys.readouterr().err


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("RSTAR_TOY_NATS__PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings(ToySettings))
