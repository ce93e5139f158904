from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import grpc
import pytest
from eventually import eventually
from refusals import refused
from server import Server

from dspy_orchestrator import CursorTooOld, NotFound
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    """A server that keeps next to nothing."""
    server = Server(tmp_path, "--keep-events", "10", "--keep-jobs", "3", ORCHESTRATOR_KEEP_OUTPUTS="2")
    try:
        yield server.start()
    finally:
        server.close()


def test_history_that_is_gone_is_refused_with_the_oldest_that_is_kept(small: Server) -> None:
    with small.client() as client:
        for number in range(8):
            client.submit(["true"], job_id=f"job-{number}")
            last = client.wait(f"job-{number}", timeout=60).last_sequence
        # The sinks pass the events first.
        eventually(lambda: client.metrics().value("orchestrator_oldest_sequence") == last - 9, "old events to go")
        error = refused(lambda: next(small.stub().StreamEvents(pb.StreamEventsRequest(after_sequence=1), timeout=30)))
        assert error.code() is grpc.StatusCode.OUT_OF_RANGE
        with pytest.raises(CursorTooOld) as caught:
            next(client.events(1, timeout=30))
        assert caught.value.oldest == last - 9
        # What a person reads: what is gone, what there is, and how to go on.
        for words in ("after 1 are no longer kept", f"the oldest is {last - 9}", f"after_sequence {last - 10}"):
            assert words in str(caught.value)
        with client.events(caught.value.oldest - 1, timeout=30) as events:
            assert [event.sequence for event in islice(events, 10)] == list(range(last - 9, last + 1))

        eventually(lambda: client.metrics().value("orchestrator_ended_jobs_kept") == 3, "old jobs to go")
        assert client.status("job-5").state == "succeeded"
        with pytest.raises(NotFound):
            client.status("job-4")
        jobs = small.data / "jobs"
        eventually(lambda: sorted(path.name for path in jobs.glob("*/*")) == ["job-6", "job-7"], "old output to go")

    small.kill()
    small.start()
    with small.client() as client:
        assert client.metrics().value("orchestrator_ended_jobs_kept") == 3
        assert client.submit(["true"], job_id="next").last_sequence == last + 1
