"""The reference says what the protos say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

PROTO = Path("proto")
SMALL = """\
syntax = "proto3";
package rstar.v1;

// Greets.
service GreetingService {
  // Says hello | goodbye.
  rpc Greet(GreetRequest) returns (stream GreetResponse);
}
message GreetRequest {
  // Whom.
  optional string name = 1;
  oneof by {
    // How loud.
    Volume volume = 2;
    bool silent = 3;
  }
  map<string, double> weights = 4;
  repeated GreetRequest others = 5;
}
message GreetResponse {}
// How loud a greeting is.
enum Volume {
  VOLUME_UNSPECIFIED = 0;
  // As at night.
  VOLUME_LOW = 1;
}
"""


@pytest.fixture(scope="module")
def document():
    spec = importlib.util.spec_from_file_location("document", PROTO / "document.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_comments_types_and_links_are_in_the_reference(document, tmp_path):
    (tmp_path / "rstar" / "v1").mkdir(parents=True)
    (tmp_path / "rstar" / "v1" / "greeting.proto").write_text(SMALL)
    text = document.reference(document.parsed(tmp_path))
    greet = "| `Greet` | [GreetRequest](#greetrequest) | stream of [GreetResponse](#greetresponse)"
    assert f"{greet} | Says hello \\| goodbye. |" in text
    assert "| 1 | `name` | optional `string` | Whom. |" in text
    assert "| 2 | `volume` | [Volume](#volume) | One of `by`. How loud. |" in text
    assert "| 4 | `weights` | map of `string` to `double` |  |" in text
    assert "| 5 | `others` | repeated [GreetRequest](#greetrequest) |  |" in text
    assert "| 1 | `VOLUME_LOW` | As at night. |" in text


def test_every_link_leads_somewhere(document):
    text = document.reference(document.parsed(PROTO))
    headings = {name.lower() for name in re.findall(r"^### (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", text)) <= headings
    assert {"searcherservice", "searchsettings", "batchsubmission"} <= headings
