-- Hourly and daily figures of the queries, what lost its counterpart, who changed what, and the application's rights.
-- Continuous aggregates keep their past when old logs are dropped; materialized views hold what the logs still cover.

{% for period, bucket in [('hourly', 'hour'), ('daily', 'day')] %}
CREATE MATERIALIZED VIEW rag.query_stats_{{ period }}
{% if edition == 'community' %}
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 {{ bucket }}', asked_at) AS bucket,
{% else %}
AS
SELECT date_trunc('{{ bucket }}', asked_at, 'UTC') AS bucket,
{% endif %}
       collection,
       count(*) AS queries,
       count(*) FILTER (WHERE outcome = 'failed') AS failed,
       count(*) FILTER (WHERE outcome = 'refused') AS refused,
       count(*) FILTER (WHERE result_count = 0) AS without_result,
       avg(duration_ms) AS avg_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms,
       max(duration_ms) AS max_ms
FROM rag.query_logs
GROUP BY 1, 2
{% if edition == 'community' %}
WITH NO DATA;
{% else %}
WITH DATA;
-- Refreshing without locking readers out needs a unique index.
CREATE UNIQUE INDEX query_stats_{{ period }}_key ON rag.query_stats_{{ period }} (bucket, collection);
{% endif %}
{% endfor %}

{% if edition == 'community' %}
-- start_offset bridges a month of standstill, yet stays far inside the 90 days: refreshing over dropped logs would
-- erase their figures.
SELECT add_continuous_aggregate_policy('rag.query_stats_hourly', start_offset => INTERVAL '30 days',
                                       end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '30 minutes');
SELECT add_continuous_aggregate_policy('rag.query_stats_daily', start_offset => INTERVAL '30 days',
                                       end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '6 hours');
{% endif %}

CREATE VIEW rag.orphans AS
SELECT 'document without chunks' AS kind, 'documents' AS table_name, d.id::text AS row_key, d.path AS detail
FROM rag.documents d
WHERE d.status = 'indexed' AND d.size_bytes > 0 AND NOT EXISTS (SELECT FROM rag.chunks c WHERE c.document_id = d.id)
UNION ALL
SELECT 'chunks of a deleted document', 'documents', d.id::text, d.path
FROM rag.documents d
WHERE d.status = 'deleted' AND EXISTS (SELECT FROM rag.chunks c WHERE c.document_id = d.id)
UNION ALL
SELECT 'model without collection', 'embedding_models', m.id::text, m.name
FROM rag.embedding_models m
WHERE NOT EXISTS (SELECT FROM rag.collections c WHERE c.embedding_model = m.name)
UNION ALL
SELECT 'job that never ended', 'ingestion_jobs', j.id::text, j.collection
FROM rag.ingestion_jobs j
WHERE j.status = 'running' AND j.started_at < now() - INTERVAL '1 day';
COMMENT ON VIEW rag.orphans IS 'Rows that lost their counterpart; points of the vector store: rag.orphan_points';

-- Of the ids of points that were found in the vector store, those that no chunk knows.
CREATE FUNCTION rag.orphan_points(points_of text, ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT point FROM unnest(ids) AS point
    WHERE NOT EXISTS (SELECT FROM rag.chunks c WHERE c.id = point AND c.point_collection = points_of)
$$;

CREATE TABLE rag.audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    table_name text NOT NULL,
    row_key    text NOT NULL,
    action     text NOT NULL CHECK (action IN ('insert', 'update', 'delete', 'import')),
    actor      text NOT NULL DEFAULT coalesce(nullif(current_setting('ragops.actor', true), ''), session_user),
    login      text NOT NULL DEFAULT session_user,
    old_row    jsonb,
    new_row    jsonb
);
COMMENT ON COLUMN rag.audit_log.actor IS 'Who, in the words of the client (ragops.actor); login is what the server knows';
CREATE INDEX audit_log_row ON rag.audit_log (table_name, row_key, id);

-- Whole statements at once: row by row an import of 100,000 collections would take several times as long.
CREATE FUNCTION rag.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO rag.audit_log (table_name, row_key, action, new_row)
        SELECT TG_TABLE_NAME, n.id::text, 'insert', to_jsonb(n) FROM new_rows n;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO rag.audit_log (table_name, row_key, action, old_row, new_row)
        SELECT TG_TABLE_NAME, n.id::text, 'update', to_jsonb(o), to_jsonb(n)
        FROM new_rows n JOIN old_rows o USING (id) WHERE o.* IS DISTINCT FROM n.*;
    ELSE
        INSERT INTO rag.audit_log (table_name, row_key, action, old_row)
        SELECT TG_TABLE_NAME, o.id::text, 'delete', to_jsonb(o) FROM old_rows o;
    END IF;
    RETURN NULL;
END
$$;

{% for table in ['embedding_models', 'collections', 'collection_defaults'] %}
CREATE TRIGGER audit_insert AFTER INSERT ON rag.{{ table }}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.audit_change();
CREATE TRIGGER audit_update AFTER UPDATE ON rag.{{ table }}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rag.audit_change();
CREATE TRIGGER audit_delete AFTER DELETE ON rag.{{ table }}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.audit_change();
{% endfor %}
-- Ingestion writes documents all day and ingestion_jobs tell of it: only what went away needs a witness.
CREATE TRIGGER audit_delete AFTER DELETE ON rag.documents
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.audit_change();

-- Rights of the role that the RAG services log in with; repeated after a restore, so that it may be run at any time.
CREATE FUNCTION rag.grant_application(application name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA rag TO %I', application);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA rag TO %I', application);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON rag.embedding_models, rag.collections, rag.collection_defaults, '
                   'rag.documents, rag.chunks, rag.ingestion_jobs, rag.query_logs TO %I', application);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA rag GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I',
                   application);
END
$$;
REVOKE EXECUTE ON FUNCTION rag.grant_application(name) FROM PUBLIC;
SELECT rag.grant_application(current_setting('ragops.application_role')::name);
