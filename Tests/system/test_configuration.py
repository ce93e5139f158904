"""The configuration file, and the commands about it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from server import EXECUTABLE, ROOT, Server

EXAMPLE = ROOT / "deploy" / "config.yaml"


def config(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXECUTABLE, "config", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=directory,
        env=os.environ | environment,
    )


def test_the_server_runs_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""
server:
  queue_dir: {tmp_path}/by-file
  log_dir: {tmp_path}/not-this-one
handlers:
  greet: {{command: [echo, "__DSPY_RESULT__:1"]}}
"""
    )
    server = Server(tmp_path, "--config", str(file))
    arguments = server.arguments()
    at = arguments.index("--queue-dir")
    del arguments[at : at + 2]
    server.arguments = lambda: arguments  # type: ignore[method-assign]
    try:
        server.start()
        assert (tmp_path / "by-file" / "pending").is_dir()
        assert not (tmp_path / "not-this-one").exists()
        with server.client() as client:
            assert client.wait(client.submit(handler="greet").job_id, timeout=60).result == 1
        assert server.stop() == 0
    finally:
        server.close()


def test_check_says_good_or_what_is_wrong_and_where(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("server:\n  rpc_listen: 127.0.0.1:0\n")
    assert config(tmp_path, "check", str(file)).stdout == f"{file}: good\n"
    assert config(tmp_path, "check", ORCHESTRATOR_CONFIG=str(file)).returncode == 0
    file.write_text("server:\n  rpc_listen: 127.0.0.1:0\n  keep_job: 5\n")
    ended = config(tmp_path, "check", str(file))
    assert ended.returncode != 0
    for words in (f"{file} line 3", "server.keep_job", "did you mean keep_jobs?"):
        assert words in ended.stderr
    assert config(tmp_path, "check").returncode != 0
    assert str(tmp_path / "none") in config(tmp_path, "check", str(tmp_path / "none")).stderr
    assert not (tmp_path / "data").exists()


def test_show_tells_where_each_value_is_from_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        """
server:
  log_dir: /var/log/dspy
  reddb_url: http://127.0.0.1:1
handlers:
  one: {command: [run], env: {KEY: hush}}
"""
    )
    shown = config(tmp_path, "show", str(file), ENV_QUEUE_DIR="/queue", METRICS_ENABLED="false").stdout
    assert f"  log_dir: /var/log/dspy  # {file} line 3\n" in shown
    assert "  queue_dir: /queue  # ENV_QUEUE_DIR\n" in shown
    assert "  # rpc_listen: 127.0.0.1:50051\n" in shown
    assert "hush" not in shown
    content = yaml.safe_load(shown)
    assert content["server"]["metrics_enabled"] is False
    assert content["handlers"] == {"one": {"command": ["run"], "env": {"KEY": "***"}}}


def test_the_example_has_every_setting_and_is_good(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    generated = config(tmp_path, "example").stdout
    assert text.startswith(generated), "write its first part anew: dspy-orchestrator config example"
    assert config(tmp_path, "check", str(EXAMPLE)).returncode == 0
    # The rest is good as well when it is taken out of its comments.
    rest = tmp_path / "rest.yaml"
    rest.write_text(re.sub(r"^#(?=\S| {2})", "", text[len(generated) :], flags=re.M))
    ended = config(tmp_path, "check", str(rest))
    assert ended.returncode == 0, ended.stderr
    assert {"handlers", "runner", "env_runner"} <= set(yaml.safe_load(rest.read_text()))


@pytest.mark.parametrize("key", ["rpc_listen", "keep_jobs_days", "auth_tokens", "slurm_partition", "kafka_config"])
def test_every_part_of_the_help_is_in_the_example(tmp_path: Path, key: str) -> None:
    assert re.search(rf"^  #{key}:", config(tmp_path, "example").stdout, re.M)
