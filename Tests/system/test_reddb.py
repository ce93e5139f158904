from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from reddb_server import RedDB
from server import Server
from sink_checks import caught_up, health, metric, run

TOKEN = "a-secret-token"


@pytest.fixture
def reddb() -> Iterator[RedDB]:
    made = RedDB(TOKEN).start()
    yield made
    made.hangs.clear()
    made.stop()


@pytest.fixture
def reddb_server(tmp_path: Path, reddb: RedDB) -> Iterator[Server]:
    made = Server(
        tmp_path,
        *["--reddb-timeout-seconds", "5", "--reddb-give-up-seconds", "1"],
        REDDB_URL=reddb.url,
        REDDB_TOKEN=TOKEN,
    )
    yield made.start()
    made.close()


def sequences(records: list[Any]) -> list[int]:
    return [record["sequence"] for record in records]


def test_every_event_is_a_record_in_order_as_in_the_event_file(reddb_server: Server, reddb: RedDB) -> None:
    with reddb_server.client() as client:
        last = run(client, 20, "job")
    eventually(
        lambda: caught_up(reddb_server, "reddb")() and len(reddb_server.logged_events()) >= last, "every event taken"
    )
    assert sequences(reddb.records()) == list(range(1, last + 1))
    assert reddb.records() == reddb_server.logged_events()
    assert metric(reddb_server, "orchestrator_sink_delivered_events_total", "reddb") == last
    assert health(reddb_server, "reddb") == {"status": "healthy"}


def test_a_wrong_token_is_told_and_loses_nothing(tmp_path: Path, reddb: RedDB) -> None:
    token = tmp_path / "token"
    token.write_text("an-old-token\n")
    server = Server(tmp_path, REDDB_URL=reddb.url, REDDB_TOKEN_FILE=str(token)).start()
    try:
        with server.client() as client:
            last = run(client, 3, "job")
        eventually(lambda: health(server, "reddb")["status"] == "degraded", "health says so")
        assert "401" in health(server, "reddb")["detail"]
        assert reddb.records() == []
        token.write_text(TOKEN)
        eventually(caught_up(server, "reddb"), "every event taken with the new token")
        assert sequences(reddb.records()) == list(range(1, last + 1))
        assert health(server, "reddb") == {"status": "healthy"}
        text = server.stderr.read_text()
        assert "an-old-token" not in text
        assert TOKEN not in text
    finally:
        server.close()


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_for_a_while_costs_nothing(reddb_server: Server, reddb: RedDB, status: int) -> None:
    reddb.is_healthy = False
    reddb.fault = lambda record: (status, "Internal Server Error")
    with reddb_server.client() as client:
        last = run(client, 5, "job")
    eventually(lambda: reddb.appends >= 5, "some tries, over more than the second after which it would give up")
    assert str(status) in health(reddb_server, "reddb")["detail"]
    assert metric(reddb_server, "orchestrator_sink_errors_total", "reddb") > 0
    reddb.fault = lambda record: None
    eventually(caught_up(reddb_server, "reddb"), "every event taken")
    assert sequences(reddb.records()) == list(range(1, last + 1))


def test_a_server_that_hangs_holds_nobody_up(reddb_server: Server, reddb: RedDB) -> None:
    reddb.hangs.set()
    with reddb_server.client() as client:
        last = run(client, 5, "job")
    eventually(lambda: len(reddb_server.logged_events()) >= last, "the event file has them")
    eventually(lambda: health(reddb_server, "reddb")["status"] == "degraded", "health says so")
    assert "no answer" in health(reddb_server, "reddb")["detail"]
    assert metric(reddb_server, "orchestrator_sink_lag_events", "reddb") > 0
    reddb.hangs.clear()
    eventually(caught_up(reddb_server, "reddb"), "every event taken")
    # A request that was given up may still have been carried out.
    assert sorted(set(sequences(reddb.records()))) == list(range(1, last + 1))


def test_a_stop_does_not_wait_for_a_server_that_hangs(reddb_server: Server, reddb: RedDB) -> None:
    reddb.hangs.set()
    with reddb_server.client() as client:
        last = run(client, 3, "job")
    assert reddb_server.stop() == 0
    reddb.hangs.clear()
    reddb_server.start()
    eventually(caught_up(reddb_server, "reddb"), "every event taken")
    assert set(sequences(reddb.records())) == set(range(1, last + 1))


def test_an_answer_that_got_lost_makes_no_second_record(reddb_server: Server, reddb: RedDB) -> None:
    with reddb_server.client() as client:
        run(client, 3, "before")
        eventually(caught_up(reddb_server, "reddb"), "every event taken")
        reddb.loses_answers.set()
        last = run(client, 1, "lost")
        eventually(lambda: metric(reddb_server, "orchestrator_sink_errors_total", "reddb") > 0, "an answer got lost")
        reddb.loses_answers.clear()
    eventually(caught_up(reddb_server, "reddb"), "every event taken")
    assert sequences(reddb.records()) == list(range(1, last + 1))


def test_restarts_of_either_side_lose_nothing_and_repeat_nothing(reddb_server: Server, reddb: RedDB) -> None:
    with reddb_server.client() as client:
        run(client, 5, "before")
        eventually(caught_up(reddb_server, "reddb"), "every event taken")
        reddb.stop()
        run(client, 5, "away")
        eventually(lambda: health(reddb_server, "reddb")["status"] == "degraded", "health says so")
        reddb.start()
        eventually(caught_up(reddb_server, "reddb"), "every event taken")
    # The cursor was saved at most; the stream's own end is what the next start goes by.
    reddb_server.kill()
    reddb_server.start()
    with reddb_server.client() as client:
        last = run(client, 5, "after")
    eventually(caught_up(reddb_server, "reddb"), "every event taken")
    assert sequences(reddb.records()) == list(range(1, last + 1))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (422, '{"detail":"too deep"}', "invalid"),
        (409, '{"detail":"offset exists"}', "duplicate"),
        (413, "too much", "too_large"),
    ],
)
def test_a_refused_record_is_told_and_passed_over(
    reddb_server: Server, reddb: RedDB, status: int, body: str, reason: str
) -> None:
    reddb.fault = lambda record: (status, body) if record["sequence"] == 2 else None
    with reddb_server.client() as client:
        last = run(client, 3, "job")
    eventually(caught_up(reddb_server, "reddb"), "every event dealt with")
    assert sequences(reddb.records()) == [1, *range(3, last + 1)]
    assert metric(reddb_server, "orchestrator_sink_refused_events_total", "reddb", reason=reason) == 1
    check = health(reddb_server, "reddb")
    assert check["status"] == "healthy"
    assert f"refused event 2 ({reason})" in check["detail"]


def test_a_server_that_fails_at_every_append_but_the_first_is_survived_and_told(tmp_path: Path, reddb: RedDB) -> None:
    """A defect of one of RedDB's servers: it computes offset 0 again, and answers 500."""
    reddb.fault = lambda record: (500, "Internal Server Error") if reddb.records() else None
    server = Server(tmp_path, "--reddb-give-up-seconds", "0.1", REDDB_URL=reddb.url, REDDB_TOKEN=TOKEN).start()
    try:
        with server.client() as client:
            last = run(client, 1, "job")
        eventually(caught_up(server, "reddb"), "every event dealt with")
        assert sequences(reddb.records()) == [1]
        assert metric(server, "orchestrator_sink_refused_events_total", "reddb", reason="failing") == last - 1
        assert f"refused event {last} (failing)" in health(server, "reddb")["detail"]
        assert "the sink refuses an event" in server.stderr.read_text()
        assert server.stop() == 0
    finally:
        server.close()
