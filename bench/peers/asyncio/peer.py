"""grpcio's asyncio server, with the stubs of our Python package. usage: peer.py PORT

GetStatus answers one fixed job; StreamEvents answers 10,000 events and ends.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from dspy_orchestrator.v1 import orchestrator_pb2 as wire
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as rpc

EVENTS = 10_000


class Orchestrator(rpc.OrchestratorServicer):
    def __init__(self) -> None:
        self.moment = Timestamp(seconds=1_790_000_000, nanos=123_456_789)
        self.log = [
            wire.Event(
                sequence=sequence,
                type="task_submitted",
                job_id="0199c2a4-5f3e-7c1d-9b7a-3d2f1e0c4b5a",
                time=self.moment,
                state=wire.JOB_STATE_QUEUED,
                data=b'{"task_id":"0199c2a4-5f3e-7c1d"}',
                source="rpc",
            )
            for sequence in range(1, EVENTS + 1)
        ]

    async def GetStatus(  # noqa: N802 (the method's name in the proto)
        self, request: wire.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> wire.GetStatusResponse:
        return wire.GetStatusResponse(
            job=wire.Job(
                job_id="bench-1",
                job_class=wire.JOB_CLASS_CPU_SHORT,
                state=wire.JOB_STATE_SUCCEEDED,
                attempt=1,
                submitted_at=self.moment,
                started_at=self.moment,
                finished_at=self.moment,
                payload=b'{"command":["true"]}',
                last_sequence=3,
            )
        )

    async def StreamEvents(  # noqa: N802
        self, request: wire.StreamEventsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[wire.Event]:
        for event in self.log:
            yield event


async def main() -> None:
    server = grpc.aio.server()
    rpc.add_OrchestratorServicer_to_server(Orchestrator(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if len(sys.argv) != 2:
    sys.exit("usage: peer.py PORT")
asyncio.run(main())
