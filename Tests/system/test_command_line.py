from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from server import EXECUTABLE, Server

FLAGS = {
    "--rpc-listen": "ORCHESTRATOR_RPC_LISTEN",
    "--http-listen": "ORCHESTRATOR_HTTP_LISTEN",
    "--data-dir": "ORCHESTRATOR_DATA_DIR",
    "--queue-dir": "ENV_QUEUE_DIR",
    "--log-dir": "ORCHESTRATOR_LOG_DIR",
}


def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end; a server that starts after all would hit the time limit."""
    return subprocess.run(
        [EXECUTABLE, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=directory,
        env=os.environ | environment,
    )


def test_help_shows_each_flag_with_its_environment_variable(tmp_path: Path) -> None:
    help_text = run(tmp_path, "serve", "--help").stdout
    for flag, variable in FLAGS.items():
        assert re.search(rf"{flag}\b", help_text), flag
        assert variable in help_text
    assert "METRICS_ENABLED" in help_text


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rpc-listen", "nonsense"),
        ("--rpc-listen", "127.0.0.1:99999"),
        ("--rpc-listen", "127.0.0.1:"),
        ("--http-listen", "127.0.0.1:-1"),
        ("--http-listen", ""),
        ("--data-dir", "/proc/no/such/place"),
        ("--queue-dir", "/proc/no/such/place"),
        ("--log-dir", "/proc/no/such/place"),
    ],
)
def test_a_wrong_value_is_refused_with_the_flag_and_the_value(tmp_path: Path, flag: str, value: str) -> None:
    ended = run(tmp_path, "serve", "--data-dir", str(tmp_path / "data"), flag, value)
    assert ended.returncode not in (0, -6, -11)
    assert flag in ended.stderr
    assert value in ended.stderr
    assert "ready" not in ended.stdout


def test_an_unknown_flag_is_refused_by_name(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--no-such-flag")
    assert ended.returncode not in (0, -6, -11)
    assert "--no-such-flag" in ended.stderr


def test_a_wrong_environment_variable_is_refused_by_name(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", ORCHESTRATOR_RPC_LISTEN="nonsense")
    assert ended.returncode not in (0, -6, -11)
    assert "nonsense" in ended.stderr
    assert "ORCHESTRATOR_RPC_LISTEN" in ended.stderr or "--rpc-listen" in ended.stderr


def test_the_environment_sets_what_flags_do_not(tmp_path: Path) -> None:
    server = Server(tmp_path, ENV_QUEUE_DIR=str(tmp_path / "elsewhere"))
    arguments = server.arguments()
    at = arguments.index("--queue-dir")
    del arguments[at : at + 2]
    server.arguments = lambda: arguments  # type: ignore[method-assign]
    try:
        server.start()
        assert (tmp_path / "elsewhere" / "pending").is_dir()
    finally:
        server.close()


def test_the_defaults_lie_under_the_working_directory(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.arguments = lambda: [  # type: ignore[method-assign]
        *[EXECUTABLE, "serve", "--rpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    ]
    try:
        server.start()
        assert (tmp_path / "logs" / "env_queue" / "pending").is_dir()
        with server.client() as client:
            client.wait(client.submit(["true"]).job_id, timeout=60)
        assert server.stop() == 0
        assert (tmp_path / "logs" / "agent_action.jsonl").is_file()
    finally:
        server.close()


def test_one_ready_line_on_standard_output_and_nothing_else(server: Server) -> None:
    server.stop()
    assert len(server.output) == 1
    assert re.fullmatch(r"ready rpc=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+", server.output[0])


def test_a_second_server_on_the_same_data_directory_is_refused(server: Server, tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        *["serve", "--rpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"],
        *["--data-dir", str(server.data), "--queue-dir", str(tmp_path / "q2"), "--log-dir", str(tmp_path / "l2")],
    )
    assert ended.returncode not in (0, -6, -11)
    assert str(server.data) in ended.stderr
    assert server.request("/health").status == 200


def test_a_taken_port_is_named(server: Server, tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--data-dir", str(tmp_path / "d2"), "--rpc-listen", server.rpc)
    assert ended.returncode not in (0, -6, -11)
    assert server.rpc in ended.stderr
    assert "--rpc-listen" in ended.stderr


def test_a_link_to_the_executable_works_as_well(stopped_server: Server, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "orchestrator"
    link.parent.mkdir()
    link.symlink_to(EXECUTABLE)
    arguments = [str(link), *stopped_server.arguments()[1:]]
    stopped_server.arguments = lambda: arguments  # type: ignore[method-assign]
    stopped_server.start()
    with stopped_server.client() as client:
        assert client.wait(client.submit(["true"]).job_id, timeout=60).state == "succeeded"
