"""Write JSON schemas of KEDA's resources, from the models of `cloudcoil.models.keda`.

The models were generated from KEDA's own resource definitions and say what a field is, but let
unknown ones pass; here every object is closed, so that a misspelt field is an error. Run by
`infra/helm/tools.sh` in an environment of its own, as `python keda_schemas.py OUT_DIRECTORY`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KINDS = ("ScaledObject", "TriggerAuthentication")


def closed(schema: Any) -> Any:
    """The same schema, in which an object has the properties it lists and no others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    return result


def main() -> None:
    """Write one file a kind, named like those of Kubernetes' own schemas."""
    from cloudcoil.models.keda import v1alpha1  # type: ignore[import-not-found]

    out = Path(sys.argv[1])
    for kind in KINDS:
        schema = closed(getattr(v1alpha1, kind).model_json_schema(by_alias=True))
        (out / f"{kind.lower()}-keda-v1alpha1.json").write_text(json.dumps(schema, indent=1))


if __name__ == "__main__":
    main()
