"""From files to vectors: walk a directory, split documents, embed chunks, keep database and vector store in step.

Every step can be repeated. The rows and points themselves show what a killed run left half done: a document that
is `pending`, a point without a chunk, a chunk without a point.
"""
