"""DSPy programs, training and agents on the real server, with dummy language models."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import dspy
import dspy_programs
import pytest
from dspy.teleprompt.grpo import GRPO
from dspy.utils import DummyLM
from eventually import eventually

from dspy_orchestrator import Client, InvalidArgument, JobCancelled, JobFailed
from dspy_orchestrator.dspy import (
    OrchestratorCallback,
    OrchestratorProvider,
    OrchestratorTrainingJob,
    RemoteModule,
    remote,
)

HERE = Path(__file__).parent


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def capital(client: Client, ran: Path) -> RemoteModule:
    return made(client, ran)


def made(client: Client, ran: Path, **options: Any) -> RemoteModule:
    return remote(
        dspy_programs.Capital(),
        client,
        setup="dspy_programs:configure",
        cwd=HERE,
        env={"RAN": str(ran), "HOME": str(ran.parent)},
        **options,
    )


def test_evaluate_spreads_over_the_runners(capital: RemoteModule, ran: Path) -> None:
    devset = [
        dspy.Example(country=country, capital=known["capital"]).with_inputs("country")
        for country, known in dspy_programs.KNOWN.items()
    ]
    evaluate = dspy.Evaluate(devset=devset, metric=lambda example, made, trace=None: example.capital == made.capital)
    assert evaluate(capital, num_threads=3).score == 100.0
    assert sorted(ran.read_text().split()) == ["France", "Japan", "Peru"]


def test_what_is_changed_here_runs_there_and_equal_calls_run_once(capital: RemoteModule, ran: Path) -> None:
    capital.program.ask.signature = capital.program.ask.signature.with_instructions("Name the city.")
    jobs = [capital.submit(country="Peru") for _ in range(3)]
    first = capital(country="Peru")
    assert (first.capital, first.instructions) == ("Lima", "Name the city.")
    assert asyncio.run(capital.acall(country="Peru")).capital == "Lima"
    assert len({job.job_id for job in jobs}) == 1
    assert capital(country="Peru", rollout=1).capital == "Lima"
    assert ran.read_text().split() == ["Peru", "Peru"]


def test_a_run_with_a_name_finds_its_jobs_again(client: Client, ran: Path) -> None:
    assert made(client, ran, run="tuesday")(country="Japan").capital == "Tokyo"
    assert made(client, ran, run="tuesday")(country="Japan").capital == "Tokyo"
    assert ran.read_text().split() == ["Japan"]


def test_an_exception_there_is_told_here_and_the_next_call_tries_again(capital: RemoteModule, ran: Path) -> None:
    for _ in range(2):
        with pytest.raises(JobFailed) as caught:
            capital(country="Nowhere")
        assert caught.value.remote_error is not None
        assert caught.value.remote_error.message == "no such country"
    assert ran.read_text().split() == ["Nowhere", "Nowhere"]


def test_inputs_without_a_json_form_are_refused(capital: RemoteModule) -> None:
    with pytest.raises(InvalidArgument, match="an input is not plain JSON"):
        capital(country=object())


def provider(client: Client, directory: Path) -> OrchestratorProvider:
    return OrchestratorProvider(
        client, directory / "training", command=[sys.executable, str(HERE / "trainer.py")], job_class="cpu_long"
    )


DATA = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}] * 3


def test_a_finetuning_is_a_job_and_its_result_an_lm(client: Client, tmp_path: Path) -> None:
    lm = dspy.LM("openai/base", provider=provider(client, tmp_path))
    job = lm.finetune(DATA, "chat", {"epochs": 1})
    assert job.result(60).model == "openai/base-tuned-on-3"
    assert job.status() == "succeeded"


def test_a_failed_finetuning_raises_rather_than_returning_the_error(client: Client, tmp_path: Path) -> None:
    job = dspy.LM("openai/base", provider=provider(client, tmp_path)).finetune(DATA, "chat", {"fail": True})
    with pytest.raises(JobFailed):
        job.result(60)
    assert job.status() == "failed"


def test_a_finetuning_is_cancelled_on_the_server(client: Client, tmp_path: Path) -> None:
    job = dspy.LM("openai/base", provider=provider(client, tmp_path)).finetune(DATA, "chat", {"hang": True})
    assert isinstance(job, OrchestratorTrainingJob)
    eventually(lambda: job.status() == "running", "the training running")
    assert job.cancel()
    with pytest.raises(JobCancelled):
        job.result(60)
    job.thread.join(30)
    assert not job.thread.is_alive()
    assert job.status() == "cancelled"


def test_grpo_trains_by_a_job(client: Client, tmp_path: Path) -> None:
    lm = GrpoLM(provider(client, tmp_path))
    student = dspy.Predict("question -> answer")
    student.set_lm(lm)
    trainer = GRPO(
        metric=lambda example, prediction, trace=None: float(prediction.answer == example.answer),
        adapter=dspy.ChatAdapter(),
        exclude_demos=True,
        num_train_steps=2,
        num_dspy_examples_per_grpo_step=2,
        num_rollouts_per_grpo_step=2,
        num_threads=1,
    )
    trainset = [dspy.Example(question=f"{n}?", answer=str(n)).with_inputs("question") for n in range(2)]
    with dspy.context(adapter=dspy.ChatAdapter()):
        trainer.compile(student, trainset=trainset)
    assert lm.model == "dummy-final"
    steps = sorted((tmp_path / "training").glob("grpo-*/steps/*.json"))
    assert [step.name for step in steps] == ["000001.json", "000002.json"]


def test_a_training_that_dies_ends_grpos_waiting(client: Client, tmp_path: Path) -> None:
    job = GrpoLM(provider(client, tmp_path)).reinforce({"fail": True})

    def ask() -> bool:
        job.get_status()
        return False

    with pytest.raises(JobFailed):
        eventually(ask, "the failure", timeout=60)
    with pytest.raises(JobFailed):
        job.step([])


def test_a_checkpoint_is_saved_while_the_training_runs(client: Client, tmp_path: Path) -> None:
    job = GrpoLM(provider(client, tmp_path)).reinforce({})
    eventually(lambda: job.get_status()["pending_batch_ids"] == [0, 1], "the trainer ready")
    threading.Timer(0.3, job.step, ([],)).start()
    assert job.save_checkpoint("best", timeout=60).endswith("/output/best")
    assert job.last_checkpoint == "best"
    job.terminate(timeout=60)
    assert (job.lm.model, job.status()) == ("dummy-final", "succeeded")


class GrpoLM(DummyLM):  # type: ignore[misc]
    """A dummy model that may be trained."""

    def __init__(self, provider: OrchestratorProvider) -> None:
        super().__init__([{"answer": "0"}] * 100)
        self.provider = provider

    def reinforce(self, train_kwargs: dict[str, Any]) -> Any:
        job = self.provider.ReinforceJob(lm=self, train_kwargs=train_kwargs)
        job.initialize()
        return job


def test_a_programs_calls_are_in_the_log_beside_the_jobs(client: Client) -> None:
    client.submit(["true"], job_id="beside").result(timeout=60)
    callback = OrchestratorCallback(client, job_id="beside")
    with dspy.context(lm=DummyLM([{"answer": "4"}]), callbacks=[callback]):
        dspy.Predict("question -> answer")(question="2+2?")
    assert callback.flush(30)
    assert callback.dropped == 0
    last = client.metrics().last_sequence
    assert last is not None
    seen: list[str] = []
    with client.events(job_ids=["beside"], timeout=30) as events:
        for event in events:
            seen += [inner["type"] for inner in event.data.get("events", [{"type": event.type}])]
            if event.sequence == last:
                break
    assert seen[:3] == ["task_submitted", "task_started", "task_completed"]
    assert seen[3:] == ["agent.module.start", "agent.lm.start", "agent.lm.end", "agent.module.end"]
