"""Follows events live with the Python client and prints how late each was, in milliseconds, as JSON.

usage: python subscriber.py HOST:PORT COUNT
"""

import json
import sys
import threading
import time

from dspy_orchestrator import Client


def main(target: str, count: int) -> None:
    latencies: list[float] = []
    with Client(target) as client, client.events(from_now=True, types=["task_submitted"]) as events:

        def follow() -> None:
            for event in events:
                latencies.append((time.time() - event.time.timestamp()) * 1e3)
                if len(latencies) == count:
                    return

        subscriber = threading.Thread(target=follow)
        subscriber.start()
        # Until the subscriber, which begins to follow at its own time, has seen as many as it wants.
        while subscriber.is_alive():
            client.submit(["true"], job_class="cpu_long")
            time.sleep(0.005)
        subscriber.join()
    print(json.dumps(latencies))


main(sys.argv[1], int(sys.argv[2]))
