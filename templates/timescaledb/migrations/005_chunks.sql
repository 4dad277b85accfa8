-- The pieces of a document as they were embedded; `id` is the id of the point in the vector store.

CREATE TABLE rag.chunks (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    document_id      bigint NOT NULL REFERENCES rag.documents (id) ON DELETE CASCADE,
    position         integer NOT NULL CHECK (position >= 0),
    content          text NOT NULL,
    content_hash     text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    char_count       integer NOT NULL GENERATED ALWAYS AS (char_length(content)) STORED,
    token_count      integer CHECK (token_count >= 0),
    -- The collection of points that holds the vector; it can differ from the name of the document's collection.
    point_collection text NOT NULL CHECK (char_length(point_collection) BETWEEN 1 AND 255),
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, position)
);
COMMENT ON COLUMN rag.chunks.content_hash IS 'SHA-256 of content in UTF-8, hexadecimal';
