"""``python -m dspy_orchestrator.worker``."""

from __future__ import annotations

import argparse
import sys

from dspy_orchestrator.worker.once import once
from dspy_orchestrator.worker.serve import serve

DEFAULT_MAX_FRAME_BYTES = 4 << 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dspy_orchestrator.worker",
        description="Calls a function with the payload of one task after another, over standard input and output.",
    )
    parser.add_argument("function", metavar="module:function", help="what to call; it takes the payload, a dict")
    parser.add_argument(
        "--once",
        action="store_true",
        help="be the command of one job, with its payload and result in files",
    )
    parser.add_argument(
        "--max-frame-bytes",
        type=int,
        default=DEFAULT_MAX_FRAME_BYTES,
        metavar="N",
        help="the largest message either way (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if not 4096 <= arguments.max_frame_bytes < 1 << 32:
        parser.error(f"--max-frame-bytes {arguments.max_frame_bytes}: give 4096 to {(1 << 32) - 1}")
    if arguments.once:
        return once(arguments.function)
    return serve(arguments.function, arguments.max_frame_bytes)


if __name__ == "__main__":
    sys.exit(main())
