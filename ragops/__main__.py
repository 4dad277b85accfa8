"""`python -m ragops`."""

from ragops.cli.main import main

main()
