"""SIGTERM while clients submit, files are dropped and a subscriber follows."""

from __future__ import annotations

import random
import time
from pathlib import Path

from eventually import eventually
from load import Follower, Load, assert_nothing_lost
from server import Server

ROUNDS = 5


def test_stopping_under_load_is_clean_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    load = Load(server, tmp_path / "marks", threads=8)
    follower = Follower(server)
    for _ in range(ROUNDS):
        with load.running(files=5):
            eventually(load.newly_acknowledged, "a job acknowledged")
            time.sleep(chance.uniform(0, 0.2))
            server.terminate()
            assert server.wait(60) == 0
        assert (server.data / "ledger.sqlite-wal").stat().st_size == 0, "folded into the database"
        server.start()
    with server.client() as client:
        _, log = assert_nothing_lost(server, client, load)
        eventually(lambda: len(follower.seen) >= len(log), "the subscriber at the end of the log")
    assert follower.stop()[: len(log)] == log
