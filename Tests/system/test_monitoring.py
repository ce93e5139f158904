"""deploy/monitoring against a real Prometheus that scrapes a real server."""

from __future__ import annotations

import functools
import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families
from server import ROOT, Server

from dspy_orchestrator import Client

MONITORING = ROOT / "deploy/monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())

# Only there with TLS.
CONDITIONAL = {"orchestrator_tls_certificate_expiry_timestamp_seconds"}


class Prometheus:
    def __init__(self, directory: Path, target: str) -> None:
        config = (MONITORING / "prometheus.yml").read_text()
        assert "127.0.0.1:9097" in config
        config = config.replace("127.0.0.1:9097", target).replace("15s", "1s")
        config = config.replace("rules.yml", str(MONITORING / "rules.yml"))
        (directory / "prometheus.yml").write_text(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        result = self.get("/api/v1/query", query=expression)["result"]
        assert isinstance(result, list)
        return result

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def is_up(self) -> bool:
        try:
            return self.value("up") == 1
        except OSError:
            return False

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def prometheus(tmp_path: Path, server: Server) -> Iterator[Prometheus]:
    made = Prometheus(tmp_path, server.http)
    yield made
    made.close()


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def rule_expressions() -> list[str]:
    listing = subprocess.run(
        ["promtool", "check", "rules", str(MONITORING / "rules.yml")], capture_output=True, text=True, check=False
    )
    assert listing.returncode == 0, listing.stdout + listing.stderr
    text = (MONITORING / "rules.yml").read_text()
    return [block or line for block, line in re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*\n))", text)]


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\b([a-z][a-z0-9_]*)(?=[{\[])", expression)) - {"up"}


def with_variables(expression: str) -> str:
    for name, value in (("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "5m")):
        expression = expression.replace(name, value)
    return expression


def test_a_real_prometheus_scrapes_the_server_and_answers(
    prometheus: Prometheus, server: Server, client: Client
) -> None:
    for command in (["true"], ["true"], ["false"]):
        client.wait(client.submit(command).job_id, timeout=60)
    eventually(prometheus.is_up, "a first scrape", timeout=60)
    completed = "sum(orchestrator_jobs_completed_total)"
    eventually(lambda: prometheus.value(completed) == 3, "the three jobs")
    assert prometheus.value('orchestrator_jobs_completed_total{class="cpu_short",outcome="failed"}') == 1
    median = prometheus.value("histogram_quantile(0.5, sum by (le) (orchestrator_job_run_seconds_bucket))")
    assert median is not None
    assert 0 < median < 60
    assert prometheus.value("orchestrator_queue_oldest_seconds{class='cpu_short'}") == 0
    # Every rule is evaluated, and every query of the dashboard is one that Prometheus takes.
    groups = functools.partial(prometheus.get, "/api/v1/rules")
    eventually(
        lambda: all(rule["health"] == "ok" for group in groups()["groups"] for rule in group["rules"]),
        "the rules' turn",
    )
    assert prometheus.query('ALERTS{alertstate="firing"}') == []
    for expression in dashboard_queries():
        prometheus.query(with_variables(expression))
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "stat":
            # An increase needs two scrapes.
            number = functools.partial(prometheus.query, with_variables(panel["targets"][0]["expr"]))
            eventually(number, panel["title"])


def test_what_rules_and_dashboard_ask_for_exists(server: Server) -> None:
    # The gateway counts its own requests once it has answered one.
    server.request("/metrics")
    families = text_string_to_metric_families(server.request("/metrics").text)
    there = {sample.name for family in families for sample in family.samples} | CONDITIONAL
    queries = dashboard_queries()
    rules = rule_expressions()
    assert len(queries) > 40
    assert len(rules) > 10
    for expression in queries + rules:
        asked = metrics_of(expression)
        assert asked or "up{" in expression, expression
        assert asked <= there, asked - there


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "job", "instance"}


def test_the_configuration_and_the_rules_hold_their_own_tests() -> None:
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "rules-test.yml"]):
        run = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_has_a_test_that_fires_it() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (MONITORING / "rules.yml").read_text()))
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", (MONITORING / "rules-test.yml").read_text()))
    assert alerts == fired


def test_the_documentation_tells_of_metrics_that_exist_and_of_their_kind(server: Server) -> None:
    server.request("/metrics")
    types = set(re.findall(r"^# TYPE (\S+) (\S+)$", server.request("/metrics").text, re.M))
    text = (ROOT / "Documentation/monitoring.md").read_text()
    documented = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|", text, re.M)
    assert len(documented) > 50
    always = {each for each in documented if not each[0].startswith(("slurm_", "env_runner_"))}
    assert always <= types | {(name, "gauge") for name in CONDITIONAL}


def metrics_of_the_sources() -> dict[str, str]:
    """Each with its help: a name, and behind it a sentence."""
    made = re.compile(r'"([a-z]+_[a-z_]+)",\s*(?:help:\s*)?"([A-Z][^"]*[.;][^"]*)"')
    sources = (file.read_text() for file in (ROOT / "Sources").rglob("*.swift"))
    return {found[1]: found[2] for text in sources for found in made.finditer(text)}


def test_every_metric_is_documented_in_the_words_of_its_help(server: Server) -> None:
    metrics = metrics_of_the_sources()
    server.request("/metrics")
    assert set(re.findall(r"^# TYPE (\S+)", server.request("/metrics").text, re.M)) <= set(metrics)
    text = (ROOT / "Documentation/monitoring.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| \w+ \| [^|]*\| ([^|]+?) \|$", text, re.M))
    assert set(documented) == set(metrics)
    # A document may add when a metric is there.
    assert {name: words for name, words in metrics.items() if not documented[name].startswith(words.rstrip("."))} == {}


def test_every_alert_is_documented_with_what_to_do() -> None:
    rules = [
        rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]
    ]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    text = (ROOT / "Documentation/monitoring.md").read_text()
    documented = {
        row[0]: row[1:] for row in re.findall(r"^\| `(Orchestrator\w+)` \| (\w+), ([^|]+) \| (.+) \|$", text, re.M)
    }
    assert {
        name: (
            rule["labels"]["severity"],
            f"after {rule['for']}" if "for" in rule else "at once",
            rule["annotations"]["description"],
        )
        for name, rule in alerts.items()
    } == documented


def test_promtool_finds_no_fault_with_the_metrics(server: Server, client: Client) -> None:
    client.wait(client.submit(["true"]).job_id, timeout=60)
    text = server.request("/metrics").text
    run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_nothing_that_clients_send_makes_a_series(server: Server, client: Client) -> None:
    def series() -> set[str]:
        text = server.request("/metrics").text
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}

    def send(turn: str) -> None:
        for number in range(5):
            word = f"{turn}{number}"
            client.wait(client.submit(["true"], job_id=word, labels={word: word}).job_id, timeout=60)
            client.publish_event(f"agent.{word}", {"word": word})
            server.request(f"/{word}")
            server.request(f"/v1/jobs/{word}")
            server.request("/queue/submit", body=word.encode())

    send("first")
    series()
    before = series()
    send("second")
    assert series() == before
