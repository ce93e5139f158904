"""How many connections and files the server may have open, and that its jobs are none the wiser."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from eventually import eventually
from jobs import shell
from server import Server

SOFT, HARD = 300, 4_000


class LimitedServer(Server):
    """Started as a shell with those limits would."""

    def arguments(self) -> list[str]:
        return ["prlimit", f"--nofile={SOFT}:{HARD}", *super().arguments()]

    def soft_limit(self) -> int:
        text = Path(f"/proc/{self.pid}/limits").read_text()
        match = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
        assert match is not None
        return int(match[1])


@pytest.fixture
def limited(tmp_path: Path, stopped_server: Server) -> LimitedServer:
    stopped_server.__class__ = LimitedServer
    assert isinstance(stopped_server, LimitedServer)
    return stopped_server


def limit_in_a_job(server: Server) -> object:
    with server.client() as client:
        job = client.submit(shell("echo __DSPY_RESULT__:$(ulimit -Sn)"))
        return client.wait(job.job_id, timeout=60).result


def test_the_server_takes_what_it_may_and_a_job_has_what_was(limited: LimitedServer) -> None:
    limited.start()
    assert limited.soft_limit() == HARD
    assert limit_in_a_job(limited) == SOFT
    # 10,000 connections are let in by default.
    assert f"may have {HARD}" in limited.errors()


def test_a_number_that_is_given_is_taken(limited: LimitedServer) -> None:
    limited.flags = ("--max-open-files", "1000", "--rpc-max-connections", "400")
    limited.start()
    assert limited.soft_limit() == 1_000
    assert limit_in_a_job(limited) == SOFT
    assert "rpc-max-connections" not in limited.errors()


def test_more_than_is_allowed_is_refused_with_the_way_out(limited: LimitedServer) -> None:
    limited.flags = ("--max-open-files", "5000")
    refused = subprocess.run(limited.arguments(), capture_output=True, text=True, timeout=30, cwd=limited.directory)
    assert refused.returncode != 0
    for word in ("--max-open-files", "5000", str(HARD), "LimitNOFILE"):
        assert word in refused.stderr


def test_when_no_descriptor_is_left_connections_wait_and_are_served_later(limited: LimitedServer) -> None:
    # Connections that say nothing stay.
    limited.flags = ("--max-open-files", "300", "--rpc-preface-timeout-seconds", "0")
    limited.start()
    host, port = limited.rpc.split(":")
    held: list[socket.socket] = []
    try:

        def has_run_out() -> bool:
            held.append(socket.create_connection((host, int(port)), timeout=30))
            return "no connection can be accepted for now" in limited.errors()

        eventually(has_run_out, "no descriptor left")
    finally:
        for connection in held:
            connection.close()
    # It says so once, and the shortage is over.
    assert limit_in_a_job(limited) == SOFT
    assert limited.errors().count("no connection can be accepted for now") == 1
