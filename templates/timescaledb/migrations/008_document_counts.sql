-- What is asked about the documents of a collection is answered without reading all of them: how many there are of each
-- status, when the newest was indexed, and their order by id, in which their chunks are paged through.

CREATE INDEX documents_collection ON rag.documents (collection_id, id);
CREATE INDEX documents_indexed_at ON rag.documents (collection_id, indexed_at) WHERE status = 'indexed';

-- The few queries that failed or were refused, newest first, whatever the size of the log.
CREATE INDEX query_logs_not_ok ON rag.query_logs (asked_at DESC) WHERE outcome <> 'ok';

CREATE TABLE rag.document_counts (
    collection_id bigint NOT NULL REFERENCES rag.collections (id) ON DELETE CASCADE,
    status        text NOT NULL,
    documents     bigint NOT NULL,
    PRIMARY KEY (collection_id, status)
);
COMMENT ON TABLE rag.document_counts IS 'Number of rag.documents by collection and status; kept by triggers';

-- One row for each collection and status that a statement changed, in one order, so that two of them cannot deadlock.
CREATE FUNCTION rag.count_documents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO rag.document_counts AS c (collection_id, status, documents)
        SELECT n.collection_id, n.status, count(*) FROM new_rows n GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (collection_id, status) DO UPDATE SET documents = c.documents + excluded.documents;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO rag.document_counts AS c (collection_id, status, documents)
        SELECT t.collection_id, t.status, sum(t.change) FROM (
            SELECT n.collection_id, n.status, 1 AS change FROM new_rows n
            UNION ALL SELECT o.collection_id, o.status, -1 FROM old_rows o) AS t
        GROUP BY 1, 2 HAVING sum(t.change) <> 0 ORDER BY 1, 2
        ON CONFLICT (collection_id, status) DO UPDATE SET documents = c.documents + excluded.documents;
    ELSE
        UPDATE rag.document_counts c SET documents = c.documents - t.gone
        FROM (SELECT o.collection_id, o.status, count(*) AS gone FROM old_rows o GROUP BY 1, 2) AS t
        WHERE c.collection_id = t.collection_id AND c.status = t.status;
    END IF;
    RETURN NULL;
END
$$;

-- No document changes between the count and the triggers.
LOCK TABLE rag.documents IN SHARE ROW EXCLUSIVE MODE;

CREATE TRIGGER count_insert AFTER INSERT ON rag.documents
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.count_documents();
CREATE TRIGGER count_update AFTER UPDATE ON rag.documents
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rag.count_documents();
CREATE TRIGGER count_delete AFTER DELETE ON rag.documents
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.count_documents();

INSERT INTO rag.document_counts (collection_id, status, documents)
SELECT collection_id, status, count(*) FROM rag.documents GROUP BY 1, 2;

SELECT rag.grant_application(current_setting('ragops.application_role')::name);
