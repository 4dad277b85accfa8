"""The Docker engine, behind plain values and errors that say their cure."""
