"""dspy-orchestrator in DSPy programs; ``pip install dspy-orchestrator[dspy]``."""

try:
    import dspy as _dspy  # noqa: F401
except ImportError as error:
    raise ImportError("dspy_orchestrator.dspy needs DSPy 3: pip install 'dspy-orchestrator[dspy]'") from error

from dspy_orchestrator.dspy.callback import OrchestratorCallback
from dspy_orchestrator.dspy.provider import OrchestratorProvider
from dspy_orchestrator.dspy.reinforce import OrchestratorReinforceJob
from dspy_orchestrator.dspy.remote import RemoteModule, remote
from dspy_orchestrator.dspy.status import OrchestratorStatusMessages
from dspy_orchestrator.dspy.tools import orchestrator_tools
from dspy_orchestrator.dspy.training import OrchestratorTrainingJob

__all__ = [
    "OrchestratorCallback",
    "OrchestratorProvider",
    "OrchestratorReinforceJob",
    "OrchestratorStatusMessages",
    "OrchestratorTrainingJob",
    "RemoteModule",
    "orchestrator_tools",
    "remote",
]
