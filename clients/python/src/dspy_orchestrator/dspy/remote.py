"""A DSPy module whose forward runs as a job."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from dspy_orchestrator import functions, wire
from dspy_orchestrator.client import Client
from dspy_orchestrator.dspy import programs
from dspy_orchestrator.handle import JobHandle
from dspy_orchestrator.model import JobClass, JobState, Resources, RetryPolicy, Slurm
from dspy_orchestrator.requests import JobSpec


class RemoteModule(dspy.Module):
    """Stands for ``program``: a call of it is a job, so ``dspy.Evaluate``, ``dspy.Parallel`` and ``batch`` spread over
    the server's runners, with as many threads as shall be under way at once.

    ``factory`` is the name, ``module:name``, under which a worker finds the program's class, a function that makes it,
    or the program; its class's own name unless given. The program's state (instructions, demos, and LMs that are plain
    ``dspy.LM``) goes along with each call, so what an optimizer changes here is what runs there; so does the LM of the
    current context. ``setup`` names a function that the worker calls once, to configure what can't go along.

    Without ``handler``, the name of a warm worker that runs
    ``python -m dspy_orchestrator.worker dspy_orchestrator.dspy.programs:run``, each call starts a process with
    ``python``. With ``slurm`` each is a batch job. The rest are parameters of ``Client.submit``; ``wait_seconds`` is
    how long a call waits.

    A call's job id is made from its content. So what is submitted twice, as DSPy does with stragglers, runs once; and
    with a ``run`` of your own naming, a program that was stopped and started again finds the jobs of its first run.
    Pass ``rollout=n`` to have the same inputs run again. A job that failed is tried anew by the next equal call.

    The remote call leaves no trace here, which optimizers that bootstrap from traces need: give them the program.
    """

    def __init__(
        self,
        program: dspy.Module,
        client: Client,
        *,
        factory: str | None = None,
        setup: str | None = None,
        run: str | None = None,
        handler: str | None = None,
        python: Sequence[str] = (sys.executable,),
        job_class: JobClass | str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
        wait_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        resources: Resources | None = None,
        slurm: Slurm | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.program = program
        self._call = _Call(
            client,
            {"program": factory or functions.name(type(program)), "setup": setup},
            run or uuid.uuid4().hex,
            {
                "handler": handler,
                "command": None if handler else [*python, "-m", "dspy_orchestrator.worker", "--once", programs.RUN],
                "job_class": job_class,
                "labels": labels,
                "timeout": timeout,
                "retry": retry,
                "resources": resources,
                "slurm": slurm,
                "env": env,
                "cwd": cwd,
            },
        )
        self._wait_seconds = wait_seconds

    def forward(self, *, rollout: int = 0, **inputs: Any) -> Any:
        """Raises JobFailed when the program did there."""
        return _outcome(self.submit(rollout=rollout, **inputs).result(self._wait_seconds))

    async def aforward(self, *, rollout: int = 0, **inputs: Any) -> Any:
        job = await asyncio.to_thread(self.submit, rollout=rollout, **inputs)
        # Shielded: another call may share the job, and one of them being cancelled is not the end of both.
        waiting = asyncio.shield(asyncio.wrap_future(job))
        return _outcome(await asyncio.wait_for(waiting, self._wait_seconds))

    def submit(self, *, rollout: int = 0, **inputs: Any) -> JobHandle:
        """The call's job, submitted if there is none yet."""
        state = self.program.dump_state()
        for name, predictor in self.program.named_predictors():
            if name in state and type(predictor.lm) is not dspy.LM:
                # What a worker could only load by importing classes that the state names; setup is for that.
                state[name]["lm"] = None
        lm = dspy.settings.lm
        content = {
            "state": state,
            "lm": lm.dump_state() if type(lm) is dspy.LM else None,
            "inputs": programs.plain(inputs),
        }
        return self._call.submitted(content, rollout)

    def deepcopy(self) -> RemoteModule:
        """A copy with a program of its own; the client is shared."""
        made = RemoteModule.__new__(RemoteModule)
        made.__dict__.update(self.__dict__)
        made.program = self.program.deepcopy()
        return made


def remote(program: dspy.Module, client: Client, **options: Any) -> RemoteModule:
    """The program with its forward running as jobs. The options are RemoteModule's."""
    return RemoteModule(program, client, **options)


class _Call:
    """How calls become jobs; apart from the module, whose attributes DSPy walks and copies."""

    def __init__(self, client: Client, base: Mapping[str, Any], run: str, options: Mapping[str, Any]) -> None:
        self._client = client
        self._base = base
        self._run = run
        self._options = dict(options)
        self._jobs: dict[str, JobHandle] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: Any) -> _Call:
        return self

    def submitted(self, content: Mapping[str, Any], rollout: int) -> JobHandle:
        payload = {**self._base, **content}
        wire.encoded(payload["inputs"], "an input", "inputs")
        text = json.dumps([self._run, rollout, payload], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:40]
        with self._lock:
            known = self._jobs.get(digest)
        if known is not None and known.state not in (JobState.FAILED, JobState.CANCELLED):
            return known
        attempt = 1
        while True:
            job_id = f"dspy-{digest}" if attempt == 1 else f"dspy-{digest}.{attempt}"
            job = JobHandle(self._client, self._client.accept(JobSpec(payload=payload, job_id=job_id, **self._options)))
            if job.state not in (JobState.FAILED, JobState.CANCELLED):
                break
            attempt += 1
        with self._lock:
            self._jobs[digest] = job
        return job


def _outcome(result: Any) -> Any:
    if isinstance(result, dict) and "prediction" in result:
        prediction = dspy.Prediction(**result["prediction"])
        if result.get("lm_usage"):
            prediction.set_lm_usage(result["lm_usage"])
        return prediction
    return result.get("value") if isinstance(result, dict) else result
