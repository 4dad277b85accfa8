"""From files to vectors: walk a directory, split documents, embed chunks, keep database and vector store in step.

Every step can be repeated. What a killed run left half done is told by the rows and points themselves: a document that
is `pending`, a point without a chunk, a chunk without a point.
"""
