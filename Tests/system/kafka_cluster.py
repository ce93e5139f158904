"""Three real Kafka brokers on loopback: librdkafka's mock cluster, from the same library the server uses. It speaks the
protocol over TCP; its data goes with it, and brokers can be taken down and brought back."""

from __future__ import annotations

import asyncio
import ctypes
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

BROKERS = 3
PARTITIONS = 4
PRODUCER = 0


@dataclass(frozen=True)
class Message:
    key: str | None
    value: dict[str, Any]
    partition: int
    offset: int


class Cluster:
    def __init__(self, topic: str = "agent.events") -> None:
        self.topic = topic
        self._library = library()
        words = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        # Nothing to print about brokers that are down on purpose.
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", words, len(words))
        self._client = self._library.rd_kafka_new(PRODUCER, settings, words, len(words))
        assert self._client, words.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, BROKERS)
        assert self._cluster
        self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), PARTITIONS, BROKERS)

    @property
    def bootstrap_servers(self) -> str:
        text = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        assert isinstance(text, bytes)
        return text.decode()

    def take_down(self, *brokers: int) -> None:
        for broker in brokers:
            assert self._library.rd_kafka_mock_broker_set_down(self._cluster, broker) == 0

    def bring_up(self, *brokers: int) -> None:
        for broker in brokers:
            assert self._library.rd_kafka_mock_broker_set_up(self._cluster, broker) == 0

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


def library() -> ctypes.CDLL:
    loaded = ctypes.CDLL("librdkafka.so.1")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [pointer]),
        ("rd_kafka_mock_topic_create", number, [pointer, ctypes.c_char_p, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [pointer, ctypes.c_int32]),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def read_by_confluent(cluster: Cluster) -> list[Message]:
    """Everything in the topic, as the C client's Python face reads it."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap_servers, "group.id": "reader", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(cluster.topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Message] = []
    open_partitions = set(range(PARTITIONS))
    deadline = time.monotonic() + 30
    while open_partitions:
        assert time.monotonic() < deadline, f"partitions {open_partitions} have no end"
        message = consumer.poll(1)
        if message is None:
            continue
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            continue
        key, value, partition, offset = message.key(), message.value(), message.partition(), message.offset()
        assert value is not None
        assert partition is not None
        assert offset is not None
        found.append(Message(key.decode() if isinstance(key, bytes) else None, json.loads(value), partition, offset))
    consumer.close()
    return found


def read_by_aiokafka(cluster: Cluster) -> list[Message]:
    """Everything in the topic, as a client without librdkafka reads it."""
    return asyncio.run(_read_by_aiokafka(cluster))


async def _read_by_aiokafka(cluster: Cluster) -> list[Message]:
    from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(cluster.topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Message] = []
        while sum(ends.values()) > len(found):
            batches = await asyncio.wait_for(consumer.getmany(timeout_ms=1000), 30)
            found += [
                Message(
                    record.key.decode() if record.key is not None else None,
                    json.loads(record.value),
                    record.partition,
                    record.offset,
                )
                for records in batches.values()
                for record in records
            ]
        return found
    finally:
        await consumer.stop()


def sequences(messages: Iterable[Message]) -> set[int]:
    return {message.value["sequence"] for message in messages}


def assert_ordered_by_job(messages: list[Message]) -> None:
    """A job is on one partition, and its events are in order there once what came twice is dropped."""
    partitions: dict[str | None, set[int]] = {}
    newest: dict[str | None, int] = {}
    seen: set[int] = set()
    for message in sorted(messages, key=lambda message: (message.partition, message.offset)):
        assert message.key == message.value["data"].get("task_id")
        partitions.setdefault(message.key, set()).add(message.partition)
        sequence = message.value["sequence"]
        if sequence in seen:
            continue
        seen.add(sequence)
        assert sequence > newest.get(message.key, 0)
        newest[message.key] = sequence
    assert all(len(found) == 1 for found in partitions.values())
