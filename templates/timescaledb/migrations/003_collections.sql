-- What is ingested from where, and how. Rows come from collections-config.json (`source` json) or are made here.

CREATE TABLE rag.collections (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 255),
    directory       text NOT NULL CHECK (directory <> ''),
    embedding_model text NOT NULL REFERENCES rag.embedding_models (name) ON UPDATE CASCADE,
    chunk_size      integer NOT NULL CHECK (chunk_size > 0),
    chunk_overlap   integer NOT NULL CHECK (chunk_overlap >= 0),
    file_types      text[] NOT NULL,
    recursive       boolean NOT NULL DEFAULT true,
    enabled         boolean NOT NULL DEFAULT true,
    source          text NOT NULL DEFAULT 'database' CHECK (source IN ('json', 'database')),
    extra           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extra) = 'object'),
    defaults_used   text[] NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collections_overlap_below_size CHECK (chunk_overlap < chunk_size)
);
COMMENT ON COLUMN rag.collections.extra IS 'Keys of the JSON document that ragops does not know, as they were';
COMMENT ON COLUMN rag.collections.defaults_used IS 'Columns whose value came from the document''s defaults';

-- Without it every change of a model would read all collections.
CREATE INDEX collections_embedding_model ON rag.collections (embedding_model);

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON rag.collections
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION rag.touch_updated_at();

-- What belongs to the imported document as a whole; needed to write it back as it was.
CREATE TABLE rag.collection_defaults (
    id         integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    defaults   jsonb NOT NULL CHECK (jsonb_typeof(defaults) = 'object'),
    extra      jsonb NOT NULL CHECK (jsonb_typeof(extra) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON rag.collection_defaults
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION rag.touch_updated_at();
