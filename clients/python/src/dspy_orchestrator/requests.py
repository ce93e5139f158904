"""What the clients send, made from what their callers give. Pure; what can't be right raises InvalidArgument."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf import timestamp_pb2

from dspy_orchestrator import wire
from dspy_orchestrator.errors import InvalidArgument
from dspy_orchestrator.model import JobClass, JobState, Resources, RetryPolicy, Slurm
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

LARGEST_BATCH = 1000
"""Jobs in one SubmitJobs call; the server takes no more."""


@dataclass(frozen=True)
class JobSpec:
    """A job to submit: what ``Client.submit`` takes, for ``Client.submit_many``. All of it is explained there."""

    command: Sequence[str] | None = None
    handler: str | None = None
    job_class: JobClass | str | None = None
    payload: Mapping[str, Any] | None = None
    job_id: str | None = None
    priority: int = 0
    labels: Mapping[str, str] | None = None
    timeout: float | None = None
    deadline: float | None = None
    retry: RetryPolicy | None = None
    depends_on: Sequence[Any] = ()
    resources: Resources | None = None
    slurm: Slurm | None = None
    env: Mapping[str, str] | None = None
    cwd: str | os.PathLike[str] | None = None
    stdin: str | None = None

    def request(self) -> pb.SubmitJobRequest:
        if self.job_id == "":
            raise InvalidArgument("job_id is empty: leave it out to get one made", "job_id")
        if self.command is not None and self.handler is not None:
            raise InvalidArgument("command and handler exclude each other: give one of them", "handler")
        default = JobClass.GPU_SLURM if self.slurm is not None else JobClass.CPU_SHORT
        job_class = default if self.job_class is None else self.job_class
        if self.slurm is not None and job_class != JobClass.GPU_SLURM:
            raise InvalidArgument(f"slurm is for jobs of class gpu_slurm, this one is {job_class!s}", "slurm")
        return pb.SubmitJobRequest(
            job_id=self.job_id if self.job_id is not None else str(uuid.uuid4()),
            job_class=wire.job_class_number(job_class),  # type: ignore[arg-type]
            payload=wire.payload(
                self.command,
                self.payload,
                self.env,
                None if self.cwd is None else os.fspath(self.cwd),
                self.stdin,
                handler=self.handler,
                slurm=None if self.slurm is None else given(self.slurm),
            ),
            priority=self.priority,
            labels=self.labels or {},
            timeout=None if self.timeout is None else wire.duration(self.timeout),
            deadline=None if self.deadline is None else wire.duration(self.deadline),
            retry=None if self.retry is None else wire.retry_policy(self.retry),
            depends_on=[job_id(job) for job in self.depends_on],
            resources=None if self.resources is None else pb.Resources(**given(self.resources)),
        )


def given(options: Resources | Slurm) -> dict[str, Any]:
    """The options that were set."""
    return {
        field.name: value
        for field in dataclasses.fields(options)
        if (value := getattr(options, field.name)) is not None
    }


def job_id(job: Any) -> str:
    """The id of a job, given as such or as anything that has one."""
    found = job if isinstance(job, str) else getattr(job, "job_id", None)
    if not isinstance(found, str):
        raise InvalidArgument(f"{job!r} is neither a job id nor a job", "job_id")
    return found


def batches(specs: Iterable[JobSpec | Mapping[str, Any]]) -> list[pb.SubmitJobsRequest]:
    """As few SubmitJobs calls as hold the jobs, each under the server's limits on count and on a message's size."""
    made: list[pb.SubmitJobsRequest] = []
    room = 0
    for spec in specs:
        request = (spec if isinstance(spec, JobSpec) else JobSpec(**spec)).request()
        size = request.ByteSize() + 16
        if not made or room < size or len(made[-1].jobs) == LARGEST_BATCH:
            made.append(pb.SubmitJobsRequest())
            room = _BATCH_BYTES
        made[-1].jobs.append(request)
        room -= size
    return made


_BATCH_BYTES = 3 << 20
"""Below the 4 MiB that a gRPC server takes in one message."""


def list_jobs(
    states: Sequence[JobState | str],
    classes: Sequence[JobClass | str],
    labels: Mapping[str, str] | None,
    submitted_after: datetime | None,
    submitted_before: datetime | None,
    page_size: int,
) -> pb.ListJobsRequest:
    if isinstance(states, str) or isinstance(classes, str):
        raise InvalidArgument("states and classes are lists: write ['…'] around a single one", "states")
    return pb.ListJobsRequest(
        states=[wire.job_state_number(state) for state in states],  # type: ignore[misc]
        classes=[wire.job_class_number(job_class) for job_class in classes],  # type: ignore[misc]
        labels=labels or {},
        submitted_after=_stamp(submitted_after, "submitted_after"),
        submitted_before=_stamp(submitted_before, "submitted_before"),
        page_size=page_size,
    )


def publish_event(
    type: str,  # noqa: A002
    data: Mapping[str, Any] | None,
    job: Any,
    event_id: str | None,
) -> pb.PublishEventRequest:
    return pb.PublishEventRequest(
        type=type,
        job_id="" if job is None else job_id(job),
        data=wire.encoded(dict(data or {}), "data", "data"),
        # Made here, so that a retry of ours is the same event.
        event_id=str(uuid.uuid4()) if event_id is None else event_id,
    )


def _stamp(moment: datetime | None, field: str) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidArgument(f"{field} has no time zone: use datetime.now(timezone.utc) or .astimezone()", field)
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp
