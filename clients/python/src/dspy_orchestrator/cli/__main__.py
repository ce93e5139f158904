"""``python -m dspy_orchestrator.cli`` is ``dspy-orch``."""

from dspy_orchestrator.cli.main import main

if __name__ == "__main__":
    main()
