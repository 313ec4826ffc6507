"""Settings and checkpoints: what is read from disk, and what becomes of it on a command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rstar_common.checkpoints import describe
from rstar_common.errors import InvalidInput
from rstar_policy.hub import local_model
from rstar_policy.loaded import open_checkpoint
from rstar_policy.settings import PolicySettings, SglangSettings
from rstar_policy.sglang_command import launch_of
from tests.support.policy_model import EOS, mini_tokenizer
from tests.support.policy_scripted import scripted_checkpoint

CPU = SglangSettings(device="cpu")
GPU = SglangSettings(device="cuda", tensor_parallel_size=2, mem_fraction_static=0.8)


def flags(settings: SglangSettings) -> str:
    return " ".join(launch_of(settings, scripted_checkpoint("v1")).arguments)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A checkpoint whose weights are empty."""
    config = {"model_type": "llama", "hidden_size": 8, "max_position_embeddings": 77}
    (tmp_path / "config.json").write_text(json.dumps(config | {"eos_token_id": 3}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 3]}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    mini_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_on_a_cpu_the_engine_sleeps_when_idle_and_finds_the_stand_ins():
    launch = launch_of(CPU, scripted_checkpoint("v1"))
    assert "--sleep-on-idle" in launch.arguments
    assert "--dtype float32" in flags(CPU)
    assert (Path(launch.environment["PYTHONPATH"]) / "sgl_kernel").is_dir()
    assert launch.environment["OMP_NUM_THREADS"] == "1"


def test_on_a_gpu_nothing_of_the_cpu_is_left():
    launch = launch_of(GPU, scripted_checkpoint("v1"))
    assert "PYTHONPATH" not in launch.environment
    assert "torch_native" not in launch.arguments
    command = flags(GPU)
    assert "--dtype bfloat16" in command
    assert "--tp-size 2" in command
    assert "--mem-fraction-static 0.8" in command


@pytest.mark.parametrize("settings", [CPU, GPU])
def test_the_engine_listens_on_loopback_and_runs_no_code_of_a_model(settings):
    command = flags(settings)
    assert "--host 127.0.0.1" in command
    assert "trust-remote-code" not in command
    assert "--weight-version v1" in command


def test_without_its_stand_ins_the_setting_at_fault_is_named(tmp_path):
    with pytest.raises(InvalidInput) as failure:
        launch_of(CPU.model_copy(update={"cpu_path": tmp_path}), scripted_checkpoint("v1"))
    assert failure.value.field == "sglang.cpu_path"


def test_a_checkpoint_tells_its_context_and_every_end_of_text(directory):
    checkpoint = open_checkpoint(directory)
    assert checkpoint.context_tokens == 77
    assert checkpoint.prompter.name == "mini"
    assert {3, 5} <= set(checkpoint.prompter.stop_token_ids)
    assert checkpoint.version.startswith("pinned-")


def test_a_manifest_names_version_and_format_and_settings_override_it(directory):
    manifest = describe(directory, model="policy", prompt_format="rstar")
    (directory / "manifest.json").write_bytes(manifest.to_json())
    checkpoint = open_checkpoint(directory)
    assert (checkpoint.version, checkpoint.prompter.name) == (manifest.version, "rstar")
    assert open_checkpoint(directory, prompt_format="mini").prompter.name == "mini"


def test_only_what_the_engine_builds_makes_another_architecture(directory):
    first = open_checkpoint(directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"transformers_version": "9"}))
    assert open_checkpoint(directory).architecture == first.architecture
    (directory / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    assert open_checkpoint(directory).architecture != first.architecture


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (lambda d: (d / "tokenizer.json").unlink(), "model"),
        (lambda d: (d / "config.json").write_text("{"), "model"),
        (lambda d: (d / "model.safetensors").unlink(), "model"),
    ],
)
def test_a_directory_that_is_no_checkpoint_is_refused(directory, damage, field):
    damage(directory)
    with pytest.raises(InvalidInput) as failure:
        open_checkpoint(directory)
    assert failure.value.field == field


def test_an_unknown_prompt_format_is_refused(directory):
    with pytest.raises(InvalidInput, match="none of mini, rstar, instruct"):
        open_checkpoint(directory, prompt_format="minni")


@pytest.mark.parametrize("model", ["./missing", "/missing", "missing", "a/b/c"])
def test_a_model_that_is_neither_here_nor_a_hub_name_names_the_setting(model):
    with pytest.raises(InvalidInput) as failure:
        local_model(model)
    assert failure.value.field == "policy.model"


def test_settings_come_from_the_environment_and_a_file(tmp_path, monkeypatch):
    file = tmp_path / "policy.toml"
    file.write_text('model = "m"\n[sglang]\ndtype = "bfloat16"\ntensor_parallel_size = 2\n')
    monkeypatch.setenv("RSTAR_CONFIG", str(file))
    monkeypatch.setenv("RSTAR_POLICY_SGLANG__TENSOR_PARALLEL_SIZE", "4")
    settings = PolicySettings()
    assert (settings.model, settings.sglang.dtype) == ("m", "bfloat16")
    assert settings.sglang.tensor_parallel_size == 4


def test_scripted_checkpoints_are_like_real_ones(directory):
    real, scripted = open_checkpoint(directory), scripted_checkpoint("v1")
    assert replace(real, version="v1").prompter.name == scripted.prompter.name
    assert mini_tokenizer().token_to_id(EOS) in scripted.prompter.stop_token_ids
