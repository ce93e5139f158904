"""FakeOrchestrator: a gRPC server in this process that answers as a test tells it to."""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc


class Failure:
    """A status to answer with, details included."""

    def __init__(self, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
        self.code, self.message, self.detail = code, message, detail

    def abort(self, context: Any) -> None:
        if self.detail is not None:
            packed = any_pb2.Any()
            packed.Pack(self.detail)
            status = status_pb2.Status(code=self.code.value[0], message=self.message, details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(self.code, self.message)


def unavailable() -> Failure:
    return Failure(grpc.StatusCode.UNAVAILABLE, "draining")


def exhausted(seconds: float) -> Failure:
    delay = duration_pb2.Duration(nanos=int(seconds * 1e9))
    return Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", error_details_pb2.RetryInfo(retry_delay=delay))


class FakeOrchestrator(pb_grpc.OrchestratorServicer):
    """Holds jobs and events that the test writes; ``failures[method]`` are answered first, one a call."""

    def __init__(self) -> None:
        self.jobs: dict[str, pb.Job] = {}
        self.log: list[pb.Event] = []
        self.oldest = 1
        self.metrics = pb.GetMetricsResponse(version="fake", uptime_seconds=1)
        self.failures: defaultdict[str, deque[Failure]] = defaultdict(deque)
        self.requests: defaultdict[str, list[Any]] = defaultdict(list)
        self.break_streams_after: deque[int] = deque()
        """How many events each next stream gives before it ends with UNAVAILABLE."""
        self.end_streams_early = 0
        """How many next streams end with OK at once, whatever was asked."""
        self.logs: dict[tuple[str, str], bytes] = {}
        """Job and stream (stdout, stderr) → what it wrote."""
        self.break_logs_after: deque[int] = deque()
        """After how many chunks each next log stream ends with UNAVAILABLE."""
        self.refused_jobs: dict[str, status_pb2.Status] = {}
        """Job id → what SubmitJobs says of it."""
        self.serving = b"\x08\x01"
        self._changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        pb_grpc.add_OrchestratorServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._server.add_generic_rpc_handlers((self._health(),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(None).wait()

    def add_job(self, job_id: str, state: pb.JobState = pb.JOB_STATE_QUEUED, **fields: Any) -> None:
        with self._changed:
            self.jobs[job_id] = pb.Job(job_id=job_id, state=state, job_class=pb.JOB_CLASS_CPU_SHORT, **fields)
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        """Returns once it holds, of the jobs, the log or the requests."""
        with self._changed:
            assert self._changed.wait_for(condition, 60)

    def emit(self, job_id: str, type: str, state: pb.JobState, sequence: int = 0) -> None:  # noqa: A002
        with self._changed:
            sequence = sequence or (self.log[-1].sequence if self.log else self.oldest - 1) + 1
            self.log.append(
                pb.Event(
                    sequence=sequence,
                    job_id=job_id,
                    type=type,
                    state=state,
                    data=json.dumps({"task_id": job_id}).encode(),
                )
            )
            if job_id in self.jobs:
                self.jobs[job_id].state = state
                self.jobs[job_id].last_sequence = sequence
            self._changed.notify_all()

    def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.SubmitJobResponse:  # noqa: N802
        self._note("SubmitJob", request, context)
        existed = request.job_id in self.jobs
        if not existed:
            self.add_job(request.job_id, payload=request.payload, priority=request.priority, labels=request.labels)
        return pb.SubmitJobResponse(job=self.jobs[request.job_id], already_existed=existed)

    def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:  # noqa: N802
        self._note("GetStatus", request, context)
        if request.job_id not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no job {request.job_id}")
        return pb.GetStatusResponse(job=self.jobs[request.job_id])

    def SubmitJobs(self, request: pb.SubmitJobsRequest, context: Any) -> pb.SubmitJobsResponse:  # noqa: N802
        self._note("SubmitJobs", request, context)
        results = []
        for job in request.jobs:
            if job.job_id in self.refused_jobs:
                results.append(pb.SubmitJobResult(error=self.refused_jobs[job.job_id]))
            else:
                self.add_job(job.job_id, payload=job.payload)
                results.append(pb.SubmitJobResult(job=self.jobs[job.job_id]))
        return pb.SubmitJobsResponse(results=results)

    def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:  # noqa: N802
        copy = pb.ListJobsRequest()
        copy.CopyFrom(request)
        self._note("ListJobs", copy, context)
        start, size = int(request.page_token or 0), request.page_size or 100
        jobs = list(reversed(self.jobs.values()))
        more = start + size < len(jobs)
        return pb.ListJobsResponse(jobs=jobs[start : start + size], next_page_token=str(start + size) if more else "")

    def StreamLogs(self, request: pb.StreamLogsRequest, context: Any) -> Iterator[pb.LogChunk]:  # noqa: N802
        self._note("StreamLogs", request, context)
        left = self.break_logs_after.popleft() if self.break_logs_after else -1
        for number, stream in ((pb.LOG_STREAM_STDOUT, "stdout"), (pb.LOG_STREAM_STDERR, "stderr")):
            if request.stream not in (pb.LOG_STREAM_UNSPECIFIED, number):
                continue
            data = self.logs.get((request.job_id, stream), b"")
            for offset in range(request.offset, len(data), 4):
                if left == 0:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
                yield pb.LogChunk(stream=number, offset=offset, data=data[offset : offset + 4])
                left -= 1

    def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:  # noqa: N802
        self._note("CancelJob", request, context)
        return pb.CancelJobResponse(job=self.jobs[request.job_id])

    def RequeueJob(self, request: pb.RequeueJobRequest, context: Any) -> pb.RequeueJobResponse:  # noqa: N802
        self._note("RequeueJob", request, context)
        return pb.RequeueJobResponse(job=self.jobs[request.job_id])

    def GetMetrics(self, request: pb.GetMetricsRequest, context: Any) -> pb.GetMetricsResponse:  # noqa: N802
        self._note("GetMetrics", request, context)
        return self.metrics

    def StreamEvents(self, request: pb.StreamEventsRequest, context: Any) -> Iterator[pb.Event]:  # noqa: N802
        self._note("StreamEvents", request, context)
        if 0 < request.after_sequence < self.oldest - 1:
            context.abort(
                grpc.StatusCode.OUT_OF_RANGE,
                f"events after {request.after_sequence} are no longer kept: the oldest is {self.oldest}",
            )
        if self.end_streams_early > 0:
            self.end_streams_early -= 1
            return
        left = self.break_streams_after.popleft() if self.break_streams_after else -1
        after = self.log[-1].sequence if request.from_now and self.log else request.after_sequence
        pending = set(request.job_ids)
        while context.is_active():
            with self._changed:
                batch = [event for event in self.log if event.sequence > after]
                if not batch and left != 0:
                    self._changed.wait(0.05)
            for event in batch:
                if left == 0:
                    break
                after = event.sequence
                if (request.job_ids and event.job_id not in request.job_ids) or (
                    request.types and event.type not in request.types
                ):
                    continue
                yield event
                left -= 1
                if event.type in ("task_completed", "task_failed", "task_cancelled"):
                    pending.discard(event.job_id)
            if left == 0:
                context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
            if request.end_when_done and not pending:
                return

    def PublishEvent(self, request: pb.PublishEventRequest, context: Any) -> pb.PublishEventResponse:  # noqa: N802
        self._note("PublishEvent", request, context)
        return pb.PublishEventResponse(sequence=len(self.requests["PublishEvent"]))

    def _health(self) -> grpc.GenericRpcHandler:
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: self.serving)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})

    def _note(self, method: str, request: Any, context: Any) -> None:
        with self._changed:
            self.requests[method].append(request)
            self._changed.notify_all()
        if self.failures[method]:
            self.failures[method].popleft().abort(context)


if __name__ == "__main__":
    # For tests that need the server in another process: prints its address, and ends with its standard input.
    print(FakeOrchestrator().target, flush=True)
    sys.stdin.read()
