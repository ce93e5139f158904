from __future__ import annotations

import threading
import time

import pytest
from jobs import assert_gapless, occupy
from server import Server

from dspy_orchestrator import Client, wire
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

EVENTS = 50_000
SUBSCRIBERS = 20
MIB = 1 << 20

ALLOWED_GROWTH = 100 * MIB
"""For 25,000 jobs and the log in memory; some 30 MiB were measured. A queue for each of the 20 subscribers would hold a
million messages of more than 100 bytes."""

PATIENCE_SECONDS = 400.0
"""For a debug build on a machine that is busy with something else; alone, it takes some 20 s."""


def submit_and_cancel(server: Server, count: int, prefix: str) -> None:
    """Two events for each job, without a process: a queued job is submitted and cancelled. 100 calls are on the way."""
    stub = server.stub()
    for start in range(0, count, 100):
        names = [f"{prefix}-{number}" for number in range(start, min(count, start + 100))]
        submits = [
            stub.SubmitJob.future(
                pb.SubmitJobRequest(job_id=name, job_class=pb.JOB_CLASS_CPU_LONG, payload=b'{"command":["true"]}'),
                timeout=60,
            )
            for name in names
        ]
        for call in submits:
            call.result()
        cancels = [stub.CancelJob.future(pb.CancelJobRequest(job_id=name), timeout=60) for name in names]
        for call in cancels:
            call.result()


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_a_subscriber_that_reads_nothing_holds_nobody_up_and_then_reads_all(server: Server, client: Client) -> None:
    occupy(client)
    first = client.status("occupies-0").last_sequence
    slow = [server.stub().StreamEvents(pb.StreamEventsRequest(after_sequence=first)) for _ in range(SUBSCRIBERS)]
    for call in slow:
        call.initial_metadata()
    before = server.rss_bytes()
    prompt = client.events(first, timeout=PATIENCE_SECONDS)
    latest = 0

    def follow() -> None:
        nonlocal latest
        for event in prompt:
            latest = event.sequence

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    writers = [
        threading.Thread(target=submit_and_cancel, args=(server, EVENTS // 4, f"job-{number}")) for number in range(2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    last = client.submit(["true"], job_class="cpu_long").last_sequence
    assert last - first >= EVENTS
    deadline = time.monotonic() + PATIENCE_SECONDS
    while latest < last:
        assert time.monotonic() < deadline, f"the prompt subscriber is at {latest} of {last}"
        time.sleep(0.05)
    prompt.close()
    growth = server.rss_bytes() - before
    assert growth < ALLOWED_GROWTH, f"the server grew by {growth / MIB:.0f} MiB"

    seen = []
    for message in slow[0]:
        seen.append(wire.event(message))
        if message.sequence >= last:
            break
    assert_gapless(seen, first + 1)
    for call in slow:
        call.cancel()
