"""ragops: provisions a self-hosted RAG platform and keeps it alive."""

import os

__version__ = "0.1.0"

# The name to install by: `ragops` on the package index is another project with the same import name.
DISTRIBUTION = "ragops-platform"

# Pulumi's SDK uses gRPC, whose fork handlers restart its threads in a child. They abort that child (SIGABRT) if its
# files are closed before it has become another program. Children of ragops become one at once and need no handlers.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Its C core writes warnings to stderr, which is for messages of ragops.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
