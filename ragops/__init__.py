"""ragops: provisions a self-hosted RAG platform and keeps it alive."""

import os

__version__ = "0.1.0"

# The name to install by: `ragops` on the package index is another project with the same import name.
DISTRIBUTION = "ragops-platform"

# Pulumi's SDK speaks gRPC, whose fork handlers begin its threads anew in a child, which end that child (SIGABRT) where
# the files are closed that they wait for before it has become another program. Ours become one at once and need none.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Its C core writes warnings of its own to stderr, which is ours for messages.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
