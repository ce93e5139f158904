"""kill -9, again and again, while clients submit, files are dropped and a subscriber follows."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from eventually import eventually
from load import Follower, Load, assert_nothing_lost
from server import Server

LIVES = 50

JOBS_A_LIFE = 24

FILES_A_LIFE = 4


def test_fifty_kills_lose_no_acknowledged_job_and_repeat_none(server: Server, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    load = Load(server, tmp_path / "marks")
    follower = Follower(server)

    ready = threading.Event()
    for life in range(LIVES):
        with load.running(most=JOBS_A_LIFE, files=FILES_A_LIFE):
            if life % 10 == 9:
                # In the middle of its recovery.
                ready.wait(chance.uniform(0, 0.3))
            else:
                eventually(load.newly_acknowledged, "a job acknowledged")
                time.sleep(chance.uniform(0, 0.2))
            server.kill()
        ready = server.begin()

    assert ready.wait(60)
    with server.client() as client:
        _, log = assert_nothing_lost(server, client, load)
        eventually(lambda: len(follower.seen) >= len(log), "the subscriber at the end of the log")
    assert follower.stop()[: len(log)] == log
    assert len(load.acknowledged) > LIVES
    wanted = {event.sequence for event in log}
    eventually(lambda: {event["sequence"] for event in server.logged_events()} >= wanted, "all of it in the event file")
    logged = [event["sequence"] for event in server.logged_events()]
    assert list(dict.fromkeys(logged)) == sorted(set(logged)), "after removing repeats the file is in order"
