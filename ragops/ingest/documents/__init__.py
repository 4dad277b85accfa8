"""Documents of all kinds into text: PDF, Office, HTML, e-mail and the rest, each converted in a process with limits.

Nothing here imports a converter's library: only the child process (`child.py`) does.
"""

# Raised when the same file would give another text: all documents are then read again.
VERSION = 1
