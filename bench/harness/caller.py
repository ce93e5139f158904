"""Run by the project's own Python: has jobs done and prints how long each took, in milliseconds.

usage: caller.py ADDRESS PAYLOAD COUNT AT_ONCE      PAYLOAD is JSON; each job's number is put in as "n"
"""

import json
import sys
import threading
import time

from dspy_orchestrator import Client

address, payload, count, at_once = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
latencies: list[float] = []
lock = threading.Lock()
numbers = iter(range(count))


def work(client: Client) -> None:
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        begin = time.monotonic()
        result = client.submit(payload={**payload, "n": number}).result(timeout=120)
        elapsed = (time.monotonic() - begin) * 1e3
        if not isinstance(result, dict) or result["n"] != number:
            sys.exit(f"caller: job {number} gave {result}")
        with lock:
            latencies.append(elapsed)


with Client(address) as client:
    begin = time.monotonic()
    threads = [threading.Thread(target=work, args=(client,)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
if len(latencies) != count:
    sys.exit("caller: not every job was done")
print(json.dumps({"latencies": latencies, "seconds": seconds}))
