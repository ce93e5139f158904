"""A second server on the same data directory."""

from __future__ import annotations

from pathlib import Path

from server import Server

from dspy_orchestrator import JobState


def test_a_second_server_is_refused_and_told_who_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Server(tmp_path / "second")
    second.data = server.data
    second.begin()
    assert second.wait(30) == 1
    last = second.errors().splitlines()[-1]
    assert str(server.data) in last
    assert f"pid {server.pid}" in last
    with server.client() as client:
        assert client.wait(client.submit(["true"]).job_id, timeout=30).state is JobState.SUCCEEDED
    # The directory is free as soon as the first is gone, however it went.
    server.kill()
    second.start()
    second.close()
