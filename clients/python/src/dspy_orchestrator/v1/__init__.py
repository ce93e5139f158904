"""The wire contract of package ``dspy_orchestrator.v1``, generated from ``proto/`` by ``scripts/generate``."""
