"""``dspy-orch``, the command line for people and for pipes."""
