"""The Helm chart: rendered by Helm's own engine, held to Kubernetes' schemas and to the programs' own --help."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from chart import CHART, GOLDEN, ROOT, SETS, golden, merged, objects, one, render, values
from programs import RUNNER, variables
from server import EXECUTABLE

CUSTOM = {"Certificate", "PrometheusRule", "ServiceMonitor"}
"""Kinds of operators, which Kubernetes itself has no schema of."""

VERSIONS = ("1.27.0", "1.37.0")
"""The oldest that Chart.yaml allows, and a new one."""


def container(workload: dict[str, Any], name: str) -> dict[str, Any]:
    found = [each for each in workload["spec"]["template"]["spec"]["containers"] if each["name"] == name]
    assert len(found) == 1
    assert isinstance(found[0], dict)
    return found[0]


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(helm_python.HelmError) as caught:
        render(changes)
    return str(caught.value)


def test_lint_finds_nothing_to_say() -> None:
    found = helm_python.lint(CHART, values("production"))
    assert not found["errors"]
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", SETS)
def test_a_render_is_the_golden_one(name: str) -> None:
    expected = (GOLDEN / f"{name}.txt").read_text()
    assert golden(name) == expected, "run Tests/system/deploy/chart.py and read the difference"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SETS)
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    for each in objects(values(name)):
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_the_server_knows_every_variable(name: str) -> None:
    known = variables(EXECUTABLE)
    given = set(one(values(name), "ConfigMap")["data"])
    if "ORCHESTRATOR_SLURM" not in known:  # a build without the bridge
        given = {each for each in given if not each.startswith("ORCHESTRATOR_SLURM")}
    assert given <= known


def test_the_runner_knows_every_variable() -> None:
    given = set(one(values("production"), "ConfigMap", "dspy-orchestrator-env-runner")["data"])
    assert given <= variables(str(RUNNER))


def test_the_server_takes_the_minimal_sets_variables(tmp_path: Path) -> None:
    """Its own check of all of them at once: what is wrong ends it with the name, so nothing may be."""
    data = one(values("minimal"), "ConfigMap")["data"]
    data |= {"ORCHESTRATOR_DATA_DIR": "/proc/no/such/place"}
    ended = subprocess.run(
        [EXECUTABLE, "serve"], env={"PATH": "/usr/bin:/bin"} | data, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode != 0
    assert "--data-dir" in ended.stderr
    assert "ORCHESTRATOR_" not in ended.stderr


def test_without_tls_and_tokens_nothing_is_rendered_unless_it_is_asked_for() -> None:
    assert "insecure=true" in refusal({})
    assert "insecure=true" in refusal({"auth": {"existingSecret": "tokens"}})
    assert "insecure=true" in refusal({"tls": {"enabled": True, "secretName": "certificate"}})
    both = {"auth": {"existingSecret": "tokens"}, "tls": {"enabled": True, "secretName": "certificate"}}
    assert "ORCHESTRATOR_INSECURE" not in one(both, "ConfigMap")["data"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tls": {"enabled": True, "requireClientCertificate": True}}, "tls.secretName"),
        ({"insecure": True, "autoscaling": {"enabled": True}}, "envRunner.enabled"),
        ({"insecure": True, "envRunner": {"enabled": True}}, "queue.persistence.enabled"),
        ({"insecure": True, "ingress": {"grpc": {"enabled": True}}}, "ingress.grpc.host"),
        ({"insecure": True, "auth": {"existingSecret": "a", "tokens": "b"}}, "keep one"),
        ({"insecure": True, "slurm": {"enabled": True}}, "slurm.config"),
        ({"insecure": True, "slurm": {"enabled": True, "config": {"hostPath": "/etc/slurm"}}}, "slurm.munge"),
        ({"insecure": True, "autoscaling": {"minReplicas": 9, "maxReplicas": 3}}, "minReplicas 9"),
        ({"insecure": True, "tls": {"certManager": {"enabled": True}}}, "issuerRef.name"),
    ],
)
def test_half_of_what_is_needed_is_refused_with_the_other_half(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicaCount": 3}, "replicaCount"),
        ({"orchestrator": {"replicas": 3}}, "replicas"),
        ({"orchestrator": {"logLevel": "loud"}}, "logLevel"),
        ({"service": {"grpcPort": 70000}}, "grpcPort"),
        ({"persistence": {"size": "much"}}, "size"),
        ({"envRunner": {"classes": ["gpu_slurm"]}}, "classes"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"orchestrator": {"settings": {"keep-jobs": 1}}}, "keep-jobs"),
    ],
)
def test_the_schema_names_what_it_refuses(changes: dict[str, Any], words: str) -> None:
    assert words in refusal({"insecure": True} | changes)


def test_the_schema_has_every_value_and_no_other() -> None:
    """Else a value would be refused that the chart reads, or taken that nothing does."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def differences(content: object, schema: dict[str, Any], path: str) -> set[str]:
        properties = schema.get("properties")
        # Probes, resources and what is empty by default are Kubernetes' own, of which values.yaml has a part.
        if not content or not isinstance(content, dict) or properties is None:
            return set()
        assert schema["additionalProperties"] is False, path
        found = {f"{path}.{name}" for name in set(content) ^ set(properties)}
        return found.union(
            *(differences(content[name], properties.get(name, {}), f"{path}.{name}") for name in content)
        )

    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert differences(defaults, schema, "") == {".global"}  # Helm's own


def test_probes_are_grpc_and_http_and_https_with_tls() -> None:
    plain = container(one(values("minimal"), "StatefulSet"), "orchestrator")
    assert plain["readinessProbe"]["grpc"] == {"port": 50051, "service": "dspy_orchestrator.v1.Orchestrator"}
    assert plain["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http", "scheme": "HTTP"}
    secure = container(one(values("production"), "StatefulSet"), "orchestrator")
    assert secure["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http", "scheme": "HTTPS"}


def test_autoscaling_decides_the_number_of_runners_and_nobody_else() -> None:
    runner = "dspy-orchestrator-env-runner"
    assert "replicas" not in one(values("production"), "Deployment", runner)["spec"]
    fixed = merged(values("production"), {"autoscaling": {"enabled": False}, "envRunner": {"replicas": 4}})
    assert one(fixed, "Deployment", runner)["spec"]["replicas"] == 4
    assert not [each for each in objects(fixed) if each["kind"] == "HorizontalPodAutoscaler"]
    for each in SETS:
        assert one(values(each), "StatefulSet")["spec"]["replicas"] == 1


def test_there_is_time_to_end_before_the_kill() -> None:
    for each in SETS:
        assert _time_to_end(values(each)) >= 25
    # What says otherwise than the values counts as well.
    settings = {"ORCHESTRATOR_DRAIN_DELAY_SECONDS": "40.5", "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS": 300}
    changed = merged(values("minimal"), {"orchestrator": {"settings": settings}})
    assert 25 <= _time_to_end(changed) <= 26
    changed = merged(values("minimal"), {"orchestrator": {"drainDelaySeconds": 90}})
    assert _time_to_end(changed) == 25


def _time_to_end(values: dict[str, Any]) -> float:
    """Seconds that the server's pod has once the server has waited and its jobs have had their grace."""
    data = one(values, "ConfigMap")["data"]
    pod = one(values, "StatefulSet")["spec"]["template"]["spec"]
    waits = ("ORCHESTRATOR_DRAIN_DELAY_SECONDS", "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS")
    return float(pod["terminationGracePeriodSeconds"]) - sum(float(data[name]) for name in waits)


def test_a_runner_has_time_to_end_before_the_kill() -> None:
    for more in ({}, {"envRunner": {"settings": {"ENV_RUNNER_SHUTDOWN_GRACE_SECONDS": 120}}}):
        changed = merged(values("production"), more)
        data = one(changed, "ConfigMap", "dspy-orchestrator-env-runner")["data"]
        pod = one(changed, "Deployment", "dspy-orchestrator-env-runner")["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == int(data["ENV_RUNNER_SHUTDOWN_GRACE_SECONDS"]) + 15


def test_an_end_needs_no_hook() -> None:
    """The server waits by itself, serving; a runner that slept in a hook would go on claiming tasks."""
    for name in SETS:
        assert "preStop" not in golden(name)


def test_every_container_is_confined() -> None:
    for name in SETS:
        for workload in objects(values(name)):
            if workload["kind"] not in ("StatefulSet", "Deployment"):
                continue
            pod = workload["spec"]["template"]["spec"]
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for each in pod["containers"] + pod.get("initContainers", []):
                assert each["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert each["resources"]["limits"]["memory"]


def test_a_changed_setting_restarts_the_pod_and_a_changed_label_does_not() -> None:
    def template(changes: dict[str, Any]) -> object:
        return one(merged(values("minimal"), changes), "StatefulSet")["spec"]["template"]

    assert template({"orchestrator": {"settings": {"ORCHESTRATOR_KEEP_JOBS": 5}}}) != template({})
    assert template({"orchestrator": {"logLevel": "debug"}}) != template({})
    assert template({"service": {"annotations": {"a": "b"}}}) == template({})


def test_settings_are_the_last_word_and_arrive_as_they_were_written() -> None:
    settings = {
        "ORCHESTRATOR_LOG_LEVEL": "debug",
        "ORCHESTRATOR_KEEP_JOBS": 10000000,
        "ORCHESTRATOR_KEEP_JOBS_DAYS": 0.5,
    }
    changed = merged(values("minimal"), {"orchestrator": {"settings": settings}})
    text = render(changed)["orchestrator/templates/orchestrator/configmap.yaml"]
    assert re.findall("ORCHESTRATOR_LOG_LEVEL: .*", text) == ['ORCHESTRATOR_LOG_LEVEL: "debug"']
    assert 'ORCHESTRATOR_KEEP_JOBS: "10000000"' in text
    assert 'ORCHESTRATOR_KEEP_JOBS_DAYS: "0.5"' in text


def test_the_charts_version_is_the_servers() -> None:
    version = subprocess.run([EXECUTABLE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version


def test_the_rules_are_those_of_deploy_monitoring() -> None:
    rules = (CHART / "files" / "rules.yml").read_text()
    original = ROOT / "deploy" / "monitoring" / "rules.yml"
    if original.exists():
        assert rules == original.read_text(), "cp deploy/monitoring/rules.yml deploy/helm/orchestrator/files/"
    assert one(values("production"), "PrometheusRule")["spec"] == yaml.safe_load(rules)
