-- The rag schema, the extension where the server has it, and the record of what was applied.
-- Templates: `edition` is community, apache or postgresql. The checksum is that of this text as it stands here.

{% if edition != 'postgresql' %}
CREATE EXTENSION IF NOT EXISTS timescaledb;
{% endif %}

CREATE SCHEMA rag;
COMMENT ON SCHEMA rag IS 'Metadata of the RAG platform; made and changed by ragops migrate up';

-- PostgreSQL 14 lets everybody create tables in public; the application role is to do no DDL at all.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE TABLE rag.schema_migrations (
    version        integer PRIMARY KEY CHECK (version > 0),
    name           text NOT NULL,
    checksum       text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    edition        text NOT NULL CHECK (edition IN ('community', 'apache', 'postgresql')),
    ragops_version text NOT NULL,
    duration_ms    integer NOT NULL CHECK (duration_ms >= 0),
    applied_by     text NOT NULL DEFAULT session_user,
    applied_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN rag.schema_migrations.checksum IS 'SHA-256 of the file before it was rendered';

CREATE FUNCTION rag.touch_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
