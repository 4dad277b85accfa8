"""Read-only checks of Docker: preflight, doctor, drift."""
