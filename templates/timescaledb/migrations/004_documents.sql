-- One row for each file of a collection, with what tells that it changed.

CREATE TABLE rag.documents (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A collection with documents is not removed by accident: its documents go first.
    collection_id bigint NOT NULL REFERENCES rag.collections (id) ON DELETE RESTRICT,
    -- Relative to the collection's directory. The limit keeps it within what one index entry can hold.
    path          text NOT NULL CHECK (octet_length(path) BETWEEN 1 AND 2600),
    content_hash  text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    size_bytes    bigint NOT NULL CHECK (size_bytes >= 0),
    modified_at   timestamptz NOT NULL,
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'indexed', 'failed', 'deleted')),
    error         text,
    indexed_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, path)
);
COMMENT ON COLUMN rag.documents.content_hash IS 'SHA-256 of the file, hexadecimal';

CREATE INDEX documents_path ON rag.documents (path);
CREATE INDEX documents_not_indexed ON rag.documents (collection_id, status) WHERE status <> 'indexed';

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON rag.documents
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION rag.touch_updated_at();
