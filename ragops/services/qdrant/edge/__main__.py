"""`python -m ragops.services.qdrant.edge CONFIG.json`: the development server under its former name."""

import sys

from ragops.devserver.qdrant.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
