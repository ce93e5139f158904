"""A process that uses a client, forks, and uses it on both sides: ``forking_client.py TARGET``."""

from __future__ import annotations

import os
import signal
import sys
import threading

from dspy_orchestrator import Client


def in_child(client: Client, number: int) -> str:
    """What a forked process says after it has used the client."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            job = client.submit(["true"], job_id=f"child-{number}")
            os.write(write, f"{client.get('parent').state.value} {job.job_id}".encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    timer = threading.Timer(20, os.kill, (child, signal.SIGKILL))
    timer.start()
    os.waitpid(child, 0)
    timer.cancel()
    with os.fdopen(read) as answer:
        return answer.read() or "the child hung"


def main() -> None:
    with Client(sys.argv[1]) as client:
        client.submit(["true"], job_id="parent").add_done_callback(lambda _: None)
        for number in range(5):
            print(in_child(client, number))
        print(client.get("child-4").state.value)


if __name__ == "__main__":
    main()
