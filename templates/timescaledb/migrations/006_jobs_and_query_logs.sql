-- Two tables that grow with time, cut by time: hypertables where the server has them, else one partition a month.
-- Unique keys hold the time column because neither kind can check uniqueness across its parts otherwise.
-- No foreign key points at them: it would block dropping old parts.

CREATE TABLE rag.ingestion_jobs (
    id                uuid NOT NULL DEFAULT gen_random_uuid(),
    started_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    collection_id     bigint REFERENCES rag.collections (id) ON DELETE SET NULL,
    collection        text NOT NULL,
    status            text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    documents_seen    integer NOT NULL DEFAULT 0,
    documents_changed integer NOT NULL DEFAULT 0,
    documents_removed integer NOT NULL DEFAULT 0,
    documents_failed  integer NOT NULL DEFAULT 0,
    chunks_written    integer NOT NULL DEFAULT 0,
    actor             text NOT NULL DEFAULT session_user,
    error             text,
    details           jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, started_at),
    CHECK (finished_at >= started_at)
){% if edition == 'postgresql' %} PARTITION BY RANGE (started_at){% endif %};

CREATE TABLE rag.query_logs (
    id              uuid NOT NULL DEFAULT gen_random_uuid(),
    asked_at        timestamptz NOT NULL DEFAULT now(),
    -- A name, not a reference: the log says what was asked, whatever becomes of the collection.
    collection      text NOT NULL DEFAULT '',
    query           text,
    query_hash      text,
    embedding_model text,
    consumer        text,
    request_id      text,
    outcome         text NOT NULL DEFAULT 'ok' CHECK (outcome IN ('ok', 'failed', 'refused')),
    result_count    integer,
    top_score       double precision,
    duration_ms     double precision NOT NULL CHECK (duration_ms >= 0),
    PRIMARY KEY (id, asked_at)
){% if edition == 'postgresql' %} PARTITION BY RANGE (asked_at){% endif %};
COMMENT ON COLUMN rag.query_logs.query IS 'NULL where privacy asks for it to be hashed or left out';
COMMENT ON TABLE rag.query_logs IS 'Kept 90 days; older parts are dropped by policy or by ragops migrate maintain';

CREATE INDEX ingestion_jobs_started_at ON rag.ingestion_jobs (started_at DESC);
CREATE INDEX ingestion_jobs_collection ON rag.ingestion_jobs (collection_id, started_at DESC);
CREATE INDEX query_logs_asked_at ON rag.query_logs (asked_at DESC);
CREATE INDEX query_logs_collection ON rag.query_logs (collection, asked_at DESC);

{% if edition == 'postgresql' %}
-- What no month covers (a clock that jumped) lands here and is moved out by make_partition.
CREATE TABLE rag.ingestion_jobs_default PARTITION OF rag.ingestion_jobs DEFAULT;
CREATE TABLE rag.query_logs_default PARTITION OF rag.query_logs DEFAULT;

-- Makes the partition of the month that `moment` is in (UTC); returns its name, or NULL where it was there already.
-- Rows of that month leave the default partition first: PostgreSQL refuses the new partition otherwise.
CREATE FUNCTION rag.make_partition(parent text, time_column text, moment timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    low  timestamptz := date_trunc('month', moment);
    high timestamptz := date_trunc('month', moment) + INTERVAL '1 month';
    part text := parent || to_char(low, '_YYYY_MM');
BEGIN
    IF to_regclass(format('rag.%I', part)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE rag.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('CREATE TABLE rag.%I (LIKE rag.%I INCLUDING ALL)', part, parent);
    EXECUTE format('WITH moved AS (DELETE FROM rag.%I WHERE %I >= %L AND %I < %L RETURNING *) '
                   'INSERT INTO rag.%I SELECT * FROM moved',
                   parent || '_default', time_column, low, time_column, high, part);
    EXECUTE format('ALTER TABLE rag.%I ATTACH PARTITION rag.%I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
    RETURN part;
END
$$;

SELECT rag.make_partition('ingestion_jobs', 'started_at', now() + months * INTERVAL '1 month'),
       rag.make_partition('query_logs', 'asked_at', now() + months * INTERVAL '1 month')
FROM generate_series(0, 3) AS months;
{% else %}
SELECT create_hypertable('rag.ingestion_jobs', 'started_at',
                         chunk_time_interval => INTERVAL '30 days', create_default_indexes => false);
SELECT create_hypertable('rag.query_logs', 'asked_at',
                         chunk_time_interval => INTERVAL '7 days', create_default_indexes => false);
{% endif %}

{% if edition == 'community' %}
SELECT add_retention_policy('rag.query_logs', drop_after => INTERVAL '90 days');
{% endif %}
