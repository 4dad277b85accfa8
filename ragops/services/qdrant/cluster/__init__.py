"""The Qdrant cluster: nodes, shards, membership, consensus."""
