from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eventually import eventually
from kafka_cluster import Cluster, Message, assert_ordered_by_job, read_by_aiokafka, read_by_confluent, sequences
from server import Server
from sink_checks import caught_up, health, metric, run

# Brokers that come back are tried again soon.
QUICK = "reconnect.backoff.ms=50\nreconnect.backoff.max.ms=500\n"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def kafka_server(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    settings = tmp_path / "kafka.conf"
    settings.write_text("# what librdkafka calls it\n" + QUICK)
    made = Server(tmp_path, "--kafka-config", str(settings), KAFKA_BOOTSTRAP_SERVERS=cluster.bootstrap_servers)
    yield made.start()
    made.close()


@pytest.mark.parametrize("read", [read_by_confluent, read_by_aiokafka])
def test_every_event_comes_keyed_by_its_job_and_as_in_the_event_file(
    kafka_server: Server, cluster: Cluster, read: Callable[[Cluster], list[Message]]
) -> None:
    with kafka_server.client() as client:
        last = run(client, 20, "job")
    eventually(
        lambda: caught_up(kafka_server, "kafka")() and len(kafka_server.logged_events()) >= last, "every event taken"
    )
    messages = read(cluster)
    assert len(messages) == last
    assert_ordered_by_job(messages)
    assert sorted((message.value for message in messages), key=lambda value: value["sequence"]) == (
        kafka_server.logged_events()
    )
    assert metric(kafka_server, "orchestrator_sink_delivered_events_total", "kafka") == last
    assert time.time() - metric(kafka_server, "orchestrator_sink_last_success_timestamp_seconds", "kafka") < 60
    assert health(kafka_server, "kafka") == {"status": "healthy"}


def test_brokers_that_go_down_hold_nobody_up_and_lose_nothing(kafka_server: Server, cluster: Cluster) -> None:
    with kafka_server.client() as client:
        run(client, 5, "before")
        eventually(caught_up(kafka_server, "kafka"), "every event taken", 90)
        cluster.take_down(2)
        run(client, 5, "two-left")
        cluster.take_down(1, 3)
        last = run(client, 5, "none-left")
        # The jobs are done and the event file has them, while Kafka is still behind and says so.
        eventually(lambda: len(kafka_server.logged_events()) >= last, "the event file has them")
        assert metric(kafka_server, "orchestrator_sink_lag_events", "kafka") > 0
        eventually(lambda: health(kafka_server, "kafka")["status"] == "degraded", "health says that Kafka is away")
        assert "kafka: " in health(kafka_server, "kafka")["detail"]
        assert metric(kafka_server, "orchestrator_sink_errors_total", "kafka") > 0
        assert kafka_server.request("/readyz").status == 200
        cluster.bring_up(1, 2, 3)
        last = run(client, 5, "after")
    eventually(caught_up(kafka_server, "kafka"), "every event taken", 90)
    eventually(lambda: health(kafka_server, "kafka") == {"status": "healthy"}, "health says that Kafka is back")
    messages = read_by_aiokafka(cluster)
    assert sequences(messages) == set(range(1, last + 1))
    assert_ordered_by_job(messages)


def test_brokers_that_take_turns_at_being_down_lose_nothing(kafka_server: Server, cluster: Cluster) -> None:
    last = 0
    with kafka_server.client() as client:
        for turn in range(6):
            broker = turn % 3 + 1
            cluster.take_down(broker)
            last = run(client, 4, f"turn-{turn}")
            cluster.bring_up(broker)
    eventually(caught_up(kafka_server, "kafka"), "every event taken", 90)
    messages = read_by_confluent(cluster)
    assert sequences(messages) == set(range(1, last + 1))
    assert_ordered_by_job(messages)


def test_a_stop_sends_what_there_is_and_a_start_goes_on_behind_it(kafka_server: Server, cluster: Cluster) -> None:
    with kafka_server.client() as client:
        last = run(client, 10, "before")
    assert kafka_server.stop() == 0
    assert sequences(read_by_confluent(cluster)) == set(range(1, last + 1))
    kafka_server.start()
    with kafka_server.client() as client:
        last = run(client, 10, "after")
    assert kafka_server.stop() == 0
    messages = read_by_confluent(cluster)
    assert sequences(messages) == set(range(1, last + 1))
    assert len(messages) == last


def test_a_stop_does_not_wait_for_brokers_that_are_away(kafka_server: Server, cluster: Cluster) -> None:
    cluster.take_down(1, 2, 3)
    with kafka_server.client() as client:
        last = run(client, 3, "job")
    assert kafka_server.stop() == 0
    cluster.bring_up(1, 2, 3)
    kafka_server.start()
    eventually(caught_up(kafka_server, "kafka"), "every event taken", 90)
    assert sequences(read_by_aiokafka(cluster)) == set(range(1, last + 1))


def test_a_crash_loses_nothing(kafka_server: Server, cluster: Cluster) -> None:
    with kafka_server.client() as client:
        run(client, 10, "before")
    kafka_server.kill()
    kafka_server.start()
    with kafka_server.client() as client:
        last = run(client, 3, "after")
    eventually(caught_up(kafka_server, "kafka"), "every event taken", 90)
    messages = read_by_confluent(cluster)
    assert sequences(messages) == set(range(1, last + 1))
    assert_ordered_by_job(messages)


def test_no_broker_at_the_start_is_no_reason_not_to_start(tmp_path: Path) -> None:
    server = Server(tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    server.start()
    try:
        with server.client() as client:
            run(client, 3, "job")
        eventually(lambda: health(server, "kafka")["status"] == "degraded", "health says that Kafka is away")
        assert server.stop() == 0
    finally:
        server.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("acks=1", "kafka.conf:1: acks is the server's own to set"),
        ("sasl.pasword=secret", "kafka.conf:1: sasl.pasword: librdkafka knows no such setting"),
        ("security.protocol=secret", "kafka.conf:1: security.protocol: it has no such value"),
    ],
)
def test_a_setting_that_can_not_be_is_named_at_the_start(tmp_path: Path, line: str, words: str) -> None:
    settings = tmp_path / "kafka.conf"
    settings.write_text(line)
    server = Server(tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9", KAFKA_CONFIG=str(settings))
    server.begin().wait(30)
    assert server.wait() != 0
    assert words in server.errors()
    assert "secret" not in server.errors()
