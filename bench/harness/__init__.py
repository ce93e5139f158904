"""What the benchmarks share: the machine, the servers under load, and the load itself."""
