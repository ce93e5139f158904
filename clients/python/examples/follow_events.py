"""Jobs as Futures, and the events of all of them: python follow_events.py"""

from __future__ import annotations

from dspy_orchestrator import Client, JobFailed, JobHandle, JobSpec, as_completed


def main() -> None:
    with Client() as client, client.events(from_now=True) as events:
        # One call, one commit of the server; each job has a verdict of its own.
        specs = [JobSpec(["sh", "-c", f"echo __DSPY_RESULT__:{n * n}; exit {n % 3 // 2}"]) for n in range(6)]
        jobs = [job for job in client.submit_many(specs) if isinstance(job, JobHandle)]

        for job in as_completed(jobs, timeout=120):
            try:
                print(job.job_id, "gave", job.result())
            except JobFailed as error:
                print(job.job_id, "failed with exit code", error.exit_code)

        # The same story as the server's log tells it: gapless, in order, each event once, whatever breaks in between.
        left = {job.job_id for job in jobs}
        for event in events:
            print(event.sequence, event.type, event.job_id)
            if event.is_terminal:
                left.discard(event.job_id)
            if not left:
                break


if __name__ == "__main__":
    main()
