from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import grpc
import pytest
from fake_orchestrator import Failure, FakeOrchestrator, exhausted, unavailable

from dspy_orchestrator import AsyncClient, Client, InvalidArgument, publisher
from dspy_orchestrator.publisher import Publisher


def published(fake: FakeOrchestrator) -> list[tuple[str, Any]]:
    """Type and data of each event, taken out of those that hold many."""
    found: list[tuple[str, Any]] = []
    for request in fake.requests["PublishEvent"]:
        data = json.loads(request.data)
        if request.type == publisher.MANY:
            found += [(event.pop("type"), event) for event in data["events"]]
        else:
            found.append((request.type, data))
    return found


def test_an_event_is_published_once_whatever_breaks(fake: FakeOrchestrator, client: Client) -> None:
    fake.failures["PublishEvent"].extend([unavailable(), exhausted(0.01)])
    assert client.publish_event("agent.step", {"n": 1}, job="a").sequence == 3
    requests = fake.requests["PublishEvent"]
    assert {(request.type, request.job_id, request.data) for request in requests} == {("agent.step", "a", b'{"n": 1}')}
    assert len({request.event_id for request in requests}) == 1
    assert requests[0].event_id


def test_an_events_own_id_is_kept_and_its_data_must_be_json(fake: FakeOrchestrator, client: Client) -> None:
    client.publish_event("agent.step", event_id="mine")
    assert fake.requests["PublishEvent"][0].event_id == "mine"
    with pytest.raises(InvalidArgument, match="data is not plain JSON"):
        client.publish_event("agent.step", {"n": object()})


def test_the_asyncio_client_publishes_too(fake: FakeOrchestrator) -> None:
    async def main() -> int:
        async with AsyncClient(fake.target) as client:
            return (await client.publish_event("agent.step")).sequence

    assert asyncio.run(main()) == 1


def test_a_backlog_goes_out_in_few_events_and_in_order(fake: FakeOrchestrator, client: Client) -> None:
    fake.failures["PublishEvent"].append(exhausted(0.3))
    events = Publisher(client, job_id="a")
    for number in range(500):
        events.add("agent.step", {"number": number})
    assert events.flush(20)
    events.close()
    sent = published(fake)
    # The first call was refused once, and made again with the same content.
    assert [data["number"] for _, data in sent][-500:] == list(range(500))
    assert all("time" in data for _, data in sent)
    assert len(fake.requests["PublishEvent"]) < 20
    assert {request.job_id for request in fake.requests["PublishEvent"]} == {"a"}
    assert events.dropped == 0


def test_what_can_not_be_kept_or_sent_is_counted(
    fake: FakeOrchestrator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    fake.failures["PublishEvent"].append(Failure(grpc.StatusCode.PERMISSION_DENIED, "no role"))
    events = Publisher(client)
    with caplog.at_level(logging.WARNING):
        events.add("agent.step", {})
        assert events.flush(10)
    assert events.dropped == 1
    assert "no role" in caplog.text
    events.close()
    events.add("agent.late", {})
    assert events.dropped == 2
    full = Publisher(client, capacity=0)
    full.add("agent.step", {})
    assert full.dropped == 1


def test_a_record_that_is_too_large_keeps_what_is_small(fake: FakeOrchestrator, client: Client) -> None:
    events = Publisher(client)
    events.add("agent.step", {"name": "short", "text": "x" * 20_000, "odd": {1, 2}})
    events.close()
    ((_, data),) = published(fake)
    assert data["name"] == "short"
    assert "text" not in data
    assert "20" in data["left_out"]


def test_inside_a_job_events_are_about_it(
    fake: FakeOrchestrator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPY_JOB_ID", "my-job")
    events = Publisher(client)
    events.add("agent.step", {})
    events.close()
    assert fake.requests["PublishEvent"][0].job_id == "my-job"
