-- Which models turn text into vectors. Collections refer to them by name.

CREATE TABLE rag.embedding_models (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 255),
    provider   text NOT NULL DEFAULT 'ollama',
    -- Unknown until the model first answered.
    dimensions integer CHECK (dimensions BETWEEN 1 AND 65536),
    enabled    boolean NOT NULL DEFAULT true,
    extra      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extra) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER touch_updated_at BEFORE UPDATE ON rag.embedding_models
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION rag.touch_updated_at();
