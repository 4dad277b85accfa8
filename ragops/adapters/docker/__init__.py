"""The Docker engine, behind plain values and errors with a hint."""
