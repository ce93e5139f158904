"""The Helm chart, rendered by Helm's own engine. Run it to write the golden renders anew: then read the difference."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "orchestrator"
GOLDEN = Path(__file__).parent / "golden"
SETS = ("minimal", "production", "slurm")
"""The sets of values in the chart's ci/."""

RULES = "orchestrator/templates/monitoring/prometheus-rule.yaml"
"""Left out of the golden renders: what it holds is deploy/monitoring/rules.yml."""


def values(name: str) -> dict[str, Any]:
    content = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    assert isinstance(content, dict)
    return content


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``values`` with what ``more`` says, as several --values do it."""
    result = copy.deepcopy(values)
    for key, value in more.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(value, dict) and isinstance(known, dict) else value
    return result


def render(values: dict[str, Any]) -> dict[str, str]:
    """The text of each template, by its path, as in a release ``dspy`` in the namespace ``jobs``."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(values, name="dspy", namespace="jobs")
    return {path: text for path, text in sorted(texts.items()) if text.strip()}


def objects(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        document
        for path, text in render(values).items()
        if not path.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]


def one(values: dict[str, Any], kind: str, name: str = "dspy-orchestrator") -> dict[str, Any]:
    found = [each for each in objects(values) if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def golden(name: str) -> str:
    texts = render(values(name))
    return "".join(f"### {path}\n{text.strip()}\n" for path, text in texts.items() if path != RULES)


if __name__ == "__main__":
    for each in SETS:
        (GOLDEN / f"{each}.txt").write_text(golden(each))
