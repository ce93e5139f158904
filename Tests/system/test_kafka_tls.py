"""The settings that are passed through to librdkafka, held to brokers that speak TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from eventually import eventually
from kafka_cluster import assert_ordered_by_job, sequences
from kafka_tls import TLSCluster
from server import Server
from sink_checks import caught_up, health, metric, run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Nobody's."""
    return Authority(tmp_path_factory.mktemp("certificates"), "stranger")


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Certificate:
    return authority.client("orchestrator")


@pytest.fixture
def cluster(authority: Authority) -> Iterator[TLSCluster]:
    made = TLSCluster(authority, authority.server("broker"))
    yield made
    made.close()


@pytest.fixture
def misnamed(authority: Authority) -> Iterator[TLSCluster]:
    """Its certificate is in order, and for no name or address of this machine."""
    made = TLSCluster(authority, authority.server("elsewhere", "DNS:kafka.example"))
    yield made
    made.close()


def configure(
    directory: Path, authority: Authority, identity: Certificate | None, verifies_name: str = "https"
) -> Path:
    settings = {
        "security.protocol": "ssl",
        "ssl.ca.location": authority.certificate,
        "ssl.endpoint.identification.algorithm": verifies_name,
        # Brokers that could not be reached are tried again soon.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
    }
    if identity:
        settings |= {"ssl.certificate.location": identity.certificate, "ssl.key.location": identity.key}
    file = directory / "kafka.conf"
    file.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    return file


def serving(directory: Path, cluster: TLSCluster, settings: Path) -> Server:
    return Server(directory, "--kafka-config", str(settings), KAFKA_BOOTSTRAP_SERVERS=cluster.bootstrap_servers)


def assert_delivered(server: Server, cluster: TLSCluster, last: int) -> None:
    eventually(caught_up(server, "kafka"), "every event taken")
    eventually(lambda: health(server, "kafka") == {"status": "healthy"}, "health")
    messages = cluster.messages()
    assert sequences(messages) == set(range(1, last + 1))
    assert_ordered_by_job(messages)
    assert set(cluster.clients) == {"orchestrator"}


@pytest.mark.parametrize("verifies_name", ["https", "none"])
def test_events_arrive_over_tls_with_the_servers_own_certificate(
    tmp_path: Path, cluster: TLSCluster, authority: Authority, identity: Certificate, verifies_name: str
) -> None:
    server = serving(tmp_path, cluster, configure(tmp_path, authority, identity, verifies_name)).start()
    try:
        with server.client() as client:
            last = run(client, 10, "job")
        assert_delivered(server, cluster, last)
    finally:
        server.close()


@pytest.mark.parametrize(("wrong", "words"), [("authority", "certificate verify failed"), ("identity", "SSL routines")])
def test_a_wrong_certificate_is_told_and_after_the_right_one_nothing_is_missing(
    tmp_path: Path,
    cluster: TLSCluster,
    authority: Authority,
    stranger: Authority,
    identity: Certificate,
    wrong: str,
    words: str,
) -> None:
    settings = configure(
        tmp_path, stranger if wrong == "authority" else authority, None if wrong == "identity" else identity
    )
    server = serving(tmp_path, cluster, settings).start()
    try:
        with server.client() as client:
            run(client, 5, "before")
            assert_told(server, words)
            assert server.request("/readyz").status == 200
        assert not cluster.clients
        assert server.stop() == 0
        configure(tmp_path, authority, identity)
        server.start()
        with server.client() as client:
            last = run(client, 5, "after")
        assert_delivered(server, cluster, last)
    finally:
        server.close()


def test_a_broker_of_another_name_is_refused_unless_names_are_not_verified(
    tmp_path: Path, misnamed: TLSCluster, authority: Authority, identity: Certificate
) -> None:
    server = serving(tmp_path, misnamed, configure(tmp_path, authority, identity)).start()
    try:
        with server.client() as client:
            run(client, 3, "before")
            assert_told(server, "certificate verify failed")
        assert server.stop() == 0
        configure(tmp_path, authority, identity, verifies_name="none")
        server.start()
        with server.client() as client:
            last = run(client, 3, "after")
        assert_delivered(server, misnamed, last)
    finally:
        server.close()


def assert_told(server: Server, words: str) -> None:
    """Health and metrics tell of what is wrong, and everything waits."""
    eventually(lambda: words in health(server, "kafka").get("detail", ""), f"health to say {words!r}")
    assert health(server, "kafka")["status"] == "degraded"
    assert metric(server, "orchestrator_sink_errors_total", "kafka") > 0
    assert metric(server, "orchestrator_sink_delivered_events_total", "kafka") == 0
    assert metric(server, "orchestrator_sink_lag_events", "kafka") > 0
