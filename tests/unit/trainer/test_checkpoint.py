"""A checkpoint is loadable by anyone's transformers, and says what it is."""

from __future__ import annotations

import json

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rstar_common.checkpoints import Manifest, describe
from tests.support.models import write_policy, write_ppm


def test_a_policy_loads_with_stock_transformers_in_bfloat16(tmp_path):
    manifest = write_policy(tmp_path / "policy")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert model.dtype is torch.bfloat16
    assert type(model).__name__ == "LlamaForCausalLM"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    assert tokenizer.convert_tokens_to_ids("<end_of_step>") == 5
    assert set(manifest.files) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    stored = Manifest.from_json((tmp_path / "policy" / "manifest.json").read_bytes())
    assert stored == manifest


def test_a_ppm_has_one_label_and_the_body_of_its_policy(tmp_path):
    write_ppm(tmp_path / "ppm", seed=3)
    config = json.loads((tmp_path / "ppm" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    ppm = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ppm")
    policy = AutoModelForCausalLM.from_pretrained(tmp_path / "ppm-policy")
    assert ppm.score.weight.shape == (1, ppm.config.hidden_size)
    assert torch.equal(ppm.model.norm.weight, policy.model.norm.weight)
    assert torch.equal(ppm.model.embed_tokens.weight, policy.model.embed_tokens.weight)


def test_the_same_weights_are_the_same_version(tmp_path):
    first = write_policy(tmp_path / "a", seed=1)
    assert write_policy(tmp_path / "b", seed=1).version == first.version
    assert write_policy(tmp_path / "c", seed=2).version != first.version
    assert describe(tmp_path / "a", model="policy", prompt_format="mini").files == first.files
