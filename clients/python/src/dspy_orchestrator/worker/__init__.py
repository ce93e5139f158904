"""The worker's end of the runner's protocol, which Documentation/workers.md defines.

``python -m dspy_orchestrator.worker module:function`` imports the function once and calls it with the payload of one
task after another.
"""

from dspy_orchestrator.worker.task import Task, current_task

__all__ = ["Task", "current_task"]
