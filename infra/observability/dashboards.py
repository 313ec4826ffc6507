"""Write the dashboards as Grafana's JSON from `dashboards.toml`.

    python infra/observability/dashboards.py            write dashboards/*.json
    python infra/observability/dashboards.py --check    fail where a file differs

The JSON is committed, for it is what Grafana is given; the TOML is what people read and edit.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH, HEIGHT = 8, 7
"""Of a panel, on a grid 24 wide: three in a row."""


def grafana_panel(number: int, panel: dict[str, Any]) -> dict[str, Any]:
    """One graph."""
    row, column = divmod(number, 24 // WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel.get("about", ""),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel["queries"].items())
        ],
    }


def grafana_dashboard(uid: str, dashboard: dict[str, Any]) -> dict[str, Any]:
    """One dashboard; its data source is chosen at the top of the page."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data"}
    return {
        "uid": f"rstar-{uid}",
        "title": dashboard["title"],
        "tags": ["rstar"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [grafana_panel(*panel) for panel in enumerate(dashboard["panels"])],
    }


def files() -> dict[Path, str]:
    """Every dashboard's file and what it should hold."""
    dashboards = tomllib.loads((HERE / "dashboards.toml").read_text())
    return {
        HERE / "dashboards" / f"{uid}.json": json.dumps(grafana_dashboard(uid, what), indent=1)
        + "\n"
        for uid, what in dashboards.items()
    }


def main() -> None:
    """Write the files, or compare them."""
    if sys.argv[1:] == ["--check"]:
        stale = [
            path.name
            for path, text in files().items()
            if not path.exists() or path.read_text() != text
        ]
        sys.exit(f"stale: {stale}; run infra/observability/dashboards.py" if stale else 0)
    (HERE / "dashboards").mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
