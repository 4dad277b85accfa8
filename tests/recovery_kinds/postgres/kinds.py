"""Databases with one thing each that real ones have. `{r}` stands for a prefix of roles that no other kind uses."""

# ruff: noqa: E501  statements as they are typed

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`sql` are statements run one by one in the new database `{d}`.

    `refused` are words of the refusal at backup time, `named` words of the notes then, `after` of those of a restore.
    `same` is False where a restore cannot give the very same and says so in `after`.
    """

    name: str
    sql: tuple[str, ...]
    refused: str = ""
    named: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    encrypted: bool = False
    same: bool = True


def kind(name: str, *sql: str, **named: object) -> Kind:
    return Kind(name, sql, **named)  # type: ignore[arg-type]


NOTES = "CREATE TABLE public.notes (a int PRIMARY KEY, b text); INSERT INTO notes VALUES (1, 'x'), (2, NULL)"

ROLES = (
    kind("owner and grants", NOTES, "CREATE ROLE {r}grafana LOGIN", "ALTER TABLE notes OWNER TO {r}grafana",
         "CREATE SCHEMA rag; CREATE TABLE rag.t (x int)", "GRANT USAGE ON SCHEMA rag TO {r}grafana",
         "GRANT SELECT ON ALL TABLES IN SCHEMA rag TO {r}grafana", after=("{r}grafana",)),
    kind("memberships", NOTES, "CREATE ROLE {r}a; CREATE ROLE {r}b; CREATE ROLE {r}c",
         "GRANT {r}a TO {r}b WITH ADMIN OPTION", "GRANT {r}a TO {r}c WITH INHERIT FALSE, SET TRUE GRANTED BY {r}b",
         "GRANT {r}b TO {r}c WITH SET FALSE", after=("{r}b in {r}a",)),
    kind("predefined roles", NOTES, "CREATE ROLE {r}reader", "GRANT pg_read_all_data, pg_monitor TO {r}reader",
         after=("{r}reader in pg_read_all_data",)),
    kind("attributes of roles", NOTES, "CREATE ROLE {r}x SUPERUSER LOGIN CONNECTION LIMIT 3 VALID UNTIL '2030-01-01'",
         "CREATE ROLE {r}y CREATEDB CREATEROLE NOINHERIT REPLICATION BYPASSRLS", "COMMENT ON ROLE {r}x IS 'it''s him'",
         "ALTER ROLE {r}x SET work_mem = '8MB'", "ALTER ROLE {r}x SET search_path = \"$user\", public, \"odd schema\""),
    kind("names of roles", NOTES, 'CREATE ROLE "{r}My ""Role" LOGIN; GRANT ALL ON notes TO "{r}My ""Role"',
         'CREATE TABLE mine (x int); ALTER TABLE mine OWNER TO "{r}My ""Role"; INSERT INTO mine VALUES (3)'),
    kind("settings of a role in the database", NOTES, "CREATE ROLE {r}s",
         "ALTER ROLE {r}s IN DATABASE {d} SET statement_timeout = '5s'",
         "ALTER ROLE {r}s IN DATABASE {d} SET search_path = a, public"),
    kind("passwords in an encrypted point", NOTES, "CREATE ROLE {r}p LOGIN PASSWORD 'geheim'", encrypted=True),
    kind("default privileges", NOTES, "CREATE ROLE {r}o; CREATE ROLE {r}r; GRANT CREATE ON SCHEMA public TO {r}o",
         "ALTER DEFAULT PRIVILEGES FOR ROLE {r}o IN SCHEMA public GRANT SELECT ON TABLES TO {r}r",
         "ALTER DEFAULT PRIVILEGES FOR ROLE {r}o REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"),
    kind("row-level policies", NOTES, "CREATE ROLE {r}t", "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
         "ALTER TABLE notes FORCE ROW LEVEL SECURITY",
         "CREATE POLICY own ON notes AS RESTRICTIVE FOR UPDATE TO {r}t USING (b = current_user) WITH CHECK (a > 0)",
         "GRANT SELECT ON notes TO {r}t"),
    kind("column grants", NOTES, "CREATE ROLE {r}c", "GRANT SELECT (a), UPDATE (b) ON notes TO {r}c",
         "GRANT SELECT ON notes TO {r}c WITH GRANT OPTION"),
    kind("rights on parameters", NOTES, "CREATE ROLE {r}q", "GRANT SET ON PARAMETER log_statement TO {r}q",
         "GRANT ALTER SYSTEM ON PARAMETER work_mem TO {r}q WITH GRANT OPTION"),
    kind("owners of every kind of object", "CREATE ROLE {r}w; CREATE SCHEMA own AUTHORIZATION {r}w",
         "CREATE TYPE own.e AS ENUM ('a', 'b'); CREATE DOMAIN own.d AS int; CREATE SEQUENCE own.s",
         "CREATE FUNCTION own.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE VIEW own.v AS SELECT 1 AS x",
         "CREATE MATERIALIZED VIEW own.m AS SELECT 2 AS x", "CREATE AGGREGATE own.g (int) (sfunc = int4pl, stype = int)",
         "CREATE OPERATOR own.### (leftarg = int, rightarg = int, function = int4pl)",
         "CREATE TEXT SEARCH CONFIGURATION own.c (copy = simple)", "CREATE COLLATION own.o FROM \"C\"",
         "CREATE PUBLICATION own_p", "ALTER PUBLICATION own_p OWNER TO {r}w",
         *(f"ALTER {what} OWNER TO {{r}}w" for what in (
             "TYPE own.e", "DOMAIN own.d", "SEQUENCE own.s", "FUNCTION own.f()", "VIEW own.v", "MATERIALIZED VIEW own.m",
             "AGGREGATE own.g (int)", "OPERATOR own.### (int, int)", "TEXT SEARCH CONFIGURATION own.c", "COLLATION own.o",
         ))),
)  # fmt: skip

DATABASE = (
    kind("settings of the database", NOTES, "ALTER DATABASE {d} SET work_mem = '7MB'",
         "ALTER DATABASE {d} SET search_path = \"$user\", public, \"odd, schema\"",
         "ALTER DATABASE {d} SET \"my.own\" = 'it''s'", "ALTER DATABASE {d} SET timezone = 'Europe/Berlin'"),
    kind("read-only by default", NOTES, "ALTER DATABASE {d} SET default_transaction_read_only = on"),
    kind("grants on the database", NOTES, "CREATE ROLE {r}c; GRANT CONNECT ON DATABASE {d} TO {r}c",
         "GRANT CREATE ON DATABASE {d} TO {r}c WITH GRANT OPTION"),
    kind("owner, limit and comment", NOTES, "CREATE ROLE {r}o; ALTER DATABASE {d} OWNER TO {r}o",
         "ALTER DATABASE {d} CONNECTION LIMIT 17", "COMMENT ON DATABASE {d} IS 'the one; \"really\"'"),
    kind("a template", NOTES, "ALTER DATABASE {d} IS_TEMPLATE true"),
    kind("without the schema public", "CREATE SCHEMA s; CREATE TABLE s.t (x int); DROP SCHEMA public"),
    kind("rights and owner of public", "CREATE ROLE {r}p; ALTER SCHEMA public OWNER TO {r}p",
         "REVOKE ALL ON SCHEMA public FROM PUBLIC; COMMENT ON SCHEMA public IS 'ours'"),
    kind("without plpgsql", NOTES, "DROP EXTENSION plpgsql"),
    kind("an extension in another version", "CREATE SCHEMA ext; CREATE EXTENSION two SCHEMA ext VERSION '1.0'; CREATE EXTENSION vector SCHEMA ext",
         "CREATE TABLE v (e ext.vector(3)); INSERT INTO v VALUES ('[1,2,3]')",
         "CREATE INDEX ON v USING hnsw (e ext.vector_l2_ops)"),
    kind("other databases", NOTES, "CREATE DATABASE {d}_other", named=("{d}_other",)),
    kind("settings made with ALTER SYSTEM", NOTES, "ALTER SYSTEM SET log_lock_waits = off", named=("log_lock_waits",)),
    kind("prepared transactions", NOTES, "BEGIN; INSERT INTO notes VALUES (3, 'y'); PREPARE TRANSACTION 'left'",
         named=("left",)),
    kind("a slot", NOTES, "SELECT pg_create_logical_replication_slot('{d}_slot', 'pgoutput')", named=("{d}_slot",)),
    kind("a tablespace", "CREATE TABLE big (x int) TABLESPACE other", refused="big lies in the tablespace other"),
    kind("a function in pg_catalog", NOTES, "CREATE FUNCTION pg_catalog.{d}_f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
         refused="{d}_f"),
)  # fmt: skip

KNOWN = (
    "CREATE TABLE kinds (name text PRIMARY KEY); INSERT INTO kinds VALUES ('a'), ('b')",
    "CREATE FUNCTION public.known(k text) RETURNS boolean LANGUAGE sql AS"
    " 'SELECT EXISTS (SELECT FROM kinds WHERE name = k)'",
)
LABEL = (
    "CREATE TABLE zlabels (k int PRIMARY KEY, label text); INSERT INTO zlabels VALUES (1, 'one'), (2, 'two')",
    "CREATE FUNCTION label(n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT label FROM zlabels WHERE k = n'",
)

EVALUATED = (
    kind("a check with names without a schema", *KNOWN, "CREATE TABLE items (kind text CHECK (public.known(kind)))",
         "INSERT INTO items VALUES ('a'), ('b')", named=("the check items_kind_check of public.items", "search_path")),
    kind("such a check in plpgsql and inherited", *KNOWN,
         "CREATE FUNCTION ok(k text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN known(k); END'",
         "CREATE TABLE base (kind text CONSTRAINT c CHECK (ok(kind)))", "COMMENT ON CONSTRAINT c ON base IS 'why'",
         "CREATE TABLE child (CONSTRAINT c CHECK (ok(kind))) INHERITS (base)",
         "INSERT INTO base VALUES ('a'); INSERT INTO child VALUES ('b')", named=("the check c of public.base",)),
    kind("such a check on a partitioned table", *KNOWN,
         "CREATE TABLE p (n int, kind text CHECK (known(kind))) PARTITION BY RANGE (n)",
         "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "INSERT INTO p VALUES (1, 'a')",
         named=("the check p_kind_check of public.p",)),
    kind("such a check of a domain", *KNOWN, "CREATE DOMAIN akind AS text CONSTRAINT dk CHECK (known(VALUE))",
         "COMMENT ON CONSTRAINT dk ON DOMAIN akind IS 'known ones'",
         "CREATE TABLE items (kind akind); INSERT INTO items VALUES ('a')", named=("the check dk of the domain",)),
    kind("a check that reads another table", *KNOWN[:1],
         "CREATE FUNCTION known(k text) RETURNS boolean LANGUAGE sql AS"
         " 'SELECT EXISTS (SELECT FROM public.kinds WHERE name = k)'",
         "CREATE TABLE items (kind text CHECK (known(kind)))", "INSERT INTO items VALUES ('a')",
         named=("reads other tables",)),
    kind("a check with a parsed body", *KNOWN[:1],
         "CREATE FUNCTION known(k text) RETURNS boolean LANGUAGE sql"
         " BEGIN ATOMIC SELECT EXISTS (SELECT FROM kinds WHERE name = k); END",
         "CREATE TABLE items (kind text CHECK (known(kind)))", "INSERT INTO items VALUES ('a')",
         named=("reads other tables",)),
    kind("a check by an operator", *KNOWN,
         "CREATE FUNCTION one_of(a text, b text) RETURNS boolean LANGUAGE sql AS 'SELECT known(a) AND known(b)'",
         "CREATE OPERATOR === (leftarg = text, rightarg = text, function = one_of)",
         "CREATE TABLE items (kind text CHECK (kind === 'a'))", "INSERT INTO items VALUES ('b')",
         named=("the check items_kind_check",)),
    kind("a check that is no longer true", "CREATE TABLE coupons (until timestamptz CHECK (until > now()))",
         "INSERT INTO coupons VALUES (now() + interval '50 ms'); SELECT pg_sleep(0.1)",
         named=("may hold today",), after=("NOT VALID",), same=False),
    kind("a check that fails unforeseen", "CREATE TABLE aa (x int CONSTRAINT odd CHECK (x < 10))",
         "CREATE FUNCTION lim() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 10'",
         "CREATE TABLE bb (x int CONSTRAINT lazy CHECK (x < lim()))", "INSERT INTO bb VALUES (9)",
         "CREATE OR REPLACE FUNCTION lim() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 5'",
         after=("lazy", "NOT VALID"), same=False),
    kind("dynamic names without a schema", *KNOWN[:1],
         "CREATE FUNCTION known(k text) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE found boolean; BEGIN"
         " EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE name = $1)', 'kin' || 'ds') INTO found USING k;"
         " RETURN found; END $$",
         "CREATE TABLE items (kind text CHECK (known(kind)))", "INSERT INTO items VALUES ('a')"),
    kind("a generated column that reads a table", *LABEL,
         "CREATE TABLE items (k int, l text GENERATED ALWAYS AS (label(k)) STORED)", "INSERT INTO items VALUES (1), (2)",
         named=("the generated column l of public.items",)),
    kind("a generated column", "CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a * 2) STORED)",
         "INSERT INTO g VALUES (1), (21)"),
    kind("an expression index with names without a schema", *LABEL, "CREATE TABLE items (k int)",
         "CREATE FUNCTION name_of(n int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN label(n); END'",
         "CREATE INDEX by_label ON items (name_of(k)); CREATE UNIQUE INDEX ON items (k) WHERE name_of(k) = 'one'",
         "INSERT INTO items VALUES (1), (2)", named=("the index public.by_label",)),
    kind("a materialized view with names without a schema", *LABEL, "CREATE TABLE items (k int); INSERT INTO items VALUES (1)",
         "CREATE FUNCTION all_labels() RETURNS SETOF text LANGUAGE sql AS 'SELECT label FROM zlabels'",
         "CREATE MATERIALIZED VIEW mv AS SELECT * FROM all_labels() WITH NO DATA",
         "ALTER FUNCTION all_labels() SET search_path = public", "REFRESH MATERIALIZED VIEW mv",
         "ALTER FUNCTION all_labels() RESET search_path", named=("the materialized view public.mv",)),
    kind("a trigger with names without a schema", *KNOWN, "CREATE TABLE items (kind text)",
         "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS"
         " 'BEGIN IF NOT known(NEW.kind) THEN RAISE ''unknown''; END IF; RETURN NEW; END'",
         "CREATE TRIGGER guard BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION guard()",
         "INSERT INTO items VALUES ('a')"),
    kind("a policy and a default with names without a schema", *KNOWN,
         "CREATE FUNCTION any_kind() RETURNS text LANGUAGE sql AS 'SELECT name FROM kinds ORDER BY 1 LIMIT 1'",
         "CREATE TABLE items (kind text DEFAULT any_kind())", "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
         "CREATE POLICY p ON items USING (known(kind))", "INSERT INTO items VALUES (DEFAULT)"),
    kind("a partition key by a function", *LABEL,
         "CREATE TABLE p (k int) PARTITION BY LIST (label(k))", "CREATE TABLE p1 PARTITION OF p FOR VALUES IN ('one')",
         "CREATE TABLE p2 PARTITION OF p DEFAULT", "INSERT INTO p VALUES (1), (2)", named=("the partitions of public.p",)),
    kind("a check that asks a setting of the database", "ALTER DATABASE {d} SET \"my.limit\" = '10'", "SET \"my.limit\" = '10'; CREATE TABLE t (x int CHECK (x < current_setting('my.limit')::int)); INSERT INTO t VALUES (3)"),
)  # fmt: skip

OBJECTS = (
    kind("a publication", NOTES, "CREATE PUBLICATION p FOR TABLE notes (a) WHERE (a > 1)", "CREATE PUBLICATION everything FOR ALL TABLES"),
    kind("a subscription", NOTES, "CREATE SUBSCRIPTION s_{d} CONNECTION 'host=nowhere.invalid dbname=x password=secret'"
         " PUBLICATION p WITH (connect = false)", named=("s_{d}", "not encrypted"), after=("disabled",)),
    kind("event triggers", NOTES, "CREATE TABLE ddl (tag text)",
         "CREATE FUNCTION log() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ddl VALUES (tg_tag); END'",
         "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION log()", "CREATE TABLE more (x int)"),
    kind("an event trigger that forbids all", NOTES,
         "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'",
         "CREATE TABLE t (x int CHECK (x < 5)); INSERT INTO t VALUES (1)",
         "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION no()"),
    kind("a trigger on logins", NOTES, "CREATE TABLE logins (who text)",
         "CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS"
         " 'BEGIN IF session_user <> ''rag_owner'' THEN RAISE ''only the owner''; END IF; END'",
         "CREATE EVENT TRIGGER l ON login EXECUTE FUNCTION seen()"),
    kind("large objects", NOTES, "CREATE ROLE {r}l", "SELECT lo_from_bytea(4711, 'many bytes')",
         "SELECT lo_from_bytea(4712, repeat('x', 10000)::bytea)", "GRANT SELECT ON LARGE OBJECT 4711 TO {r}l",
         "ALTER LARGE OBJECT 4712 OWNER TO {r}l", "COMMENT ON LARGE OBJECT 4711 IS 'c'"),
    kind("partitions", "CREATE TABLE p (at date, k text) PARTITION BY RANGE (at)",
         "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (k)",
         "CREATE TABLE p1a PARTITION OF p1 FOR VALUES IN ('a')", "CREATE TABLE p1b PARTITION OF p1 DEFAULT",
         "CREATE TABLE p2 PARTITION OF p DEFAULT", "CREATE INDEX ON p (at)", "CREATE INDEX ON ONLY p1 (k)",
         "INSERT INTO p SELECT date '2020-06-01' + i, chr(97 + i % 3) FROM generate_series(1, 400) i"),
    kind("partitions by hash of an enum", "CREATE TYPE e AS ENUM ('a', 'b', 'c', 'd')",
         "CREATE TABLE p (x e) PARTITION BY HASH (x)", "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
         "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1)", "INSERT INTO p VALUES ('a'), ('b'), ('c'), ('d')",
         same=False),
    kind("identity and sequences", "CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3), x text)",
         "INSERT INTO i (x) VALUES ('a'), ('b')", "CREATE SEQUENCE loose AS smallint CYCLE MAXVALUE 9; SELECT nextval('loose')",
         "CREATE TABLE s (id serial, x int); INSERT INTO s (x) VALUES (1)"),
    kind("domains, enums, composites and ranges", "CREATE DOMAIN email AS text CHECK (VALUE ~ '@') NOT NULL",
         "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TYPE mood ADD VALUE 'happy' BEFORE 'ok'",
         "CREATE TYPE pair AS (a int, b email)", "CREATE TYPE span AS RANGE (subtype = float8)",
         "CREATE TABLE t (e email, m mood, p pair, s span, ss span_multirange)",
         "INSERT INTO t VALUES ('a@b', 'happy', ROW(1, 'c@d'), '[1,2)', '{{[1,2),[5,6)}}')"),
    kind("foreign tables without a server behind", "CREATE ROLE {r}f; CREATE FOREIGN DATA WRAPPER w OPTIONS (a 'b')",
         "CREATE SERVER srv FOREIGN DATA WRAPPER w OPTIONS (host 'x')",
         "CREATE USER MAPPING FOR {r}f SERVER srv OPTIONS (password 'secret')",
         "CREATE FOREIGN TABLE ft (a int OPTIONS (c 'd') CHECK (a > 0)) SERVER srv", "GRANT SELECT ON ft TO {r}f",
         "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE FOREIGN TABLE pf PARTITION OF p DEFAULT SERVER srv",
         named=("passwords in user mappings of the servers srv",)),
    kind("an unlogged table", "CREATE UNLOGGED TABLE u (x int PRIMARY KEY); INSERT INTO u VALUES (1), (2)"),
    kind("extensions and vectors", "CREATE EXTENSION vector; CREATE TABLE v (e vector(2), h halfvec(2))",
         "INSERT INTO v VALUES ('[1,2]', '[3,4]')", "CREATE INDEX ON v USING ivfflat (e vector_cosine_ops) WITH (lists = 1)"),
    kind("collations", "CREATE COLLATION odd (provider = builtin, locale = 'C.UTF-8')", "CREATE TABLE c (x text COLLATE odd, y text COLLATE \"POSIX\")",
         "CREATE INDEX ON c (x COLLATE \"C\"); INSERT INTO c VALUES ('ä', 'b')"),
    kind("statistics objects", "CREATE TABLE t (a int, b int); INSERT INTO t SELECT i, i % 7 FROM generate_series(1, 500) i",
         "CREATE STATISTICS s1 (ndistinct, dependencies, mcv) ON a, b FROM t", "CREATE STATISTICS s2 ON (a + b), b FROM t",
         "ALTER TABLE t ALTER a SET STATISTICS 500", "ALTER STATISTICS s1 SET STATISTICS 50", "ANALYZE"),
    kind("an invalid index", "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1)", "!CREATE UNIQUE INDEX CONCURRENTLY broken ON t (x)",
         named=("public.broken",), same=False),
    kind("what REINDEX CONCURRENTLY left", "CREATE TABLE t (x int); INSERT INTO t VALUES (1)", "CREATE UNIQUE INDEX u ON t (x)",
         "DROP INDEX u; INSERT INTO t VALUES (1)", "!CREATE UNIQUE INDEX CONCURRENTLY u_ccnew ON t (x)", named=("public.u_ccnew",), same=False),
    kind("a partition that is half detached", "CREATE TABLE p (x int) PARTITION BY RANGE (x)",
         "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
         "INSERT INTO p VALUES (1), (11), (12)", "&ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY", named=("public.p2 is half detached",), same=False),
    kind("exclusion constraints", "CREATE TABLE b (r int4range, EXCLUDE USING gist (r WITH &&) WHERE (lower(r) > 0))",
         "INSERT INTO b VALUES ('[1,3)'), ('[3,5)')", "CREATE TABLE d (x int, UNIQUE (x) DEFERRABLE INITIALLY DEFERRED)"),
    kind("temporal and nulls", "CREATE TABLE n (a int, UNIQUE NULLS NOT DISTINCT (a)); INSERT INTO n VALUES (NULL)",
         "CREATE TABLE i (x int, y int) WITH (fillfactor = 70); CREATE UNIQUE INDEX ON i (x) INCLUDE (y)"),
    kind("circular foreign keys", "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE)",
         "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED",
         "CREATE TABLE self (id int PRIMARY KEY, up int REFERENCES self ON DELETE SET NULL)",
         "BEGIN; INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); COMMIT", "INSERT INTO self VALUES (1, 1)"),
    kind("rules and views", NOTES, "CREATE VIEW v WITH (security_barrier, check_option = cascaded) AS SELECT * FROM notes WHERE a > 0",
         "CREATE RULE no_insert AS ON INSERT TO notes DO INSTEAD NOTHING", "CREATE VIEW w WITH (security_invoker) AS SELECT a FROM v",
         "CREATE RULE upd AS ON UPDATE TO w DO INSTEAD UPDATE notes SET a = NEW.a WHERE a = OLD.a",
         "CREATE RECURSIVE VIEW nums (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM nums WHERE n < 5"),
    kind("materialized views", NOTES, "CREATE MATERIALIZED VIEW full_one AS SELECT count(*) AS n FROM notes",
         "CREATE UNIQUE INDEX ON full_one (n)", "CREATE MATERIALIZED VIEW empty_one AS SELECT * FROM full_one WITH NO DATA"),
    kind("inheritance", "CREATE TABLE base (x int CHECK (x > 0)); CREATE TABLE child (y int) INHERITS (base)",
         "CREATE TABLE other (x int NOT NULL) INHERITS (base)", "INSERT INTO base VALUES (1); INSERT INTO child VALUES (2, 3)"),
    kind("comments", NOTES, "COMMENT ON TABLE notes IS 'über\n\"it\"'; COMMENT ON COLUMN notes.a IS 'n'; COMMENT ON SCHEMA public IS NULL",
         "COMMENT ON CONSTRAINT notes_pkey ON notes IS 'key'"),
    kind("storage and compression", "CREATE TABLE t (a text STORAGE EXTERNAL COMPRESSION pglz, b bytea)"
         " WITH (fillfactor = 50, autovacuum_enabled = off, toast.autovacuum_enabled = off)",
         "INSERT INTO t VALUES (repeat('z', 100000), '\\x00ff')", "ALTER TABLE t ALTER b SET STORAGE MAIN"),
    kind("temporary tables of others", NOTES, "%CREATE TEMP TABLE tmp (x int); INSERT INTO tmp VALUES (1)"),
    kind("numbers at the edge", "CREATE TABLE n (f float8, g real, d numeric, t timestamptz, i interval, m money)",
         "INSERT INTO n VALUES ('NaN', '-Infinity', 'Infinity', 'infinity', '-infinity', 1.5), (0.1 + 0.2, 1e-40, 'NaN', '4713-01-01 BC', '1 mon -1 day', NULL)"),
    kind("bytes, JSON, arrays, text search", "CREATE TABLE t (b bytea, j json, k jsonb, a int[][], c text[], v tsvector, q tsquery, u uuid, n inet, p point, x xid8, l pg_lsn)",
         "INSERT INTO t VALUES ('\\xdeadbeef', '{{\"b\":1,  \"a\":2}}', '{{\"z\":[1]}}', '{{{{1,2}},{{3,NULL}}}}', '[0:1]={{\"a,b\",NULL}}', 'a:1A b', 'a & b', gen_random_uuid(), '::1/64', '(1,2)', '5', '0/1')",
         "CREATE INDEX ON t USING gin (k jsonb_path_ops)"),
    kind("odd names", 'CREATE SCHEMA "My ""Schema"; CREATE TABLE "My ""Schema"."tab\nle" ("sp ace" int, "ünïcode" text, "a.b" int)',
         'INSERT INTO "My ""Schema"."tab\nle" VALUES (1, \'x\', 2)', 'CREATE SCHEMA "dot.ted"; CREATE TABLE "dot.ted"."t.x" (a int); INSERT INTO "dot.ted"."t.x" VALUES (1)',
         "CREATE TABLE \"O'Reilly\" (\"select\" int); CREATE TABLE \"a b\" (c int); INSERT INTO \"a b\" VALUES (5)", 'CREATE TABLE "TABLE DATA" (x int); INSERT INTO "TABLE DATA" VALUES (9)'),
    kind("functions of every kind", "CREATE FUNCTION f(a int, VARIADIC b int[] DEFAULT '{{}}') RETURNS TABLE (x int) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT a; END'",
         "CREATE PROCEDURE p(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := a + 1; COMMIT; END'",
         "CREATE FUNCTION late() RETURNS int LANGUAGE sql AS 'SELECT 1' SECURITY DEFINER SET search_path = pg_temp PARALLEL SAFE COST 5",
         "CREATE AGGREGATE mysum (int) (sfunc = int4pl, stype = int, initcond = '0')", "CREATE TYPE box3 AS (a int)",
         "CREATE FUNCTION tobox(int) RETURNS box3 LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1)::box3'", "CREATE CAST (int AS box3) WITH FUNCTION tobox(int) AS ASSIGNMENT",
         "CREATE OPERATOR <<>> (leftarg = int, rightarg = int, function = int4ne, commutator = <<>>)",
         "CREATE FUNCTION cmp(text, text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT btrim(pg_catalog.btarraycmp(ARRAY[$1], ARRAY[$2])::text)::int'",
         "CREATE OPERATOR CLASS mine FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 cmp(text, text)",
         "CREATE TABLE o (x text); INSERT INTO o VALUES ('b'), ('a'); CREATE INDEX ON o (x mine)"),
    kind("replica identity", NOTES, "ALTER TABLE notes REPLICA IDENTITY FULL", "CREATE TABLE r (x int NOT NULL UNIQUE); ALTER TABLE r REPLICA IDENTITY USING INDEX r_x_key",
         "ALTER TABLE r CLUSTER ON r_x_key"),
    kind("constraints that are not valid", "CREATE TABLE t (x int); INSERT INTO t VALUES (-1)", "ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0) NOT VALID",
         "CREATE TABLE k (id int PRIMARY KEY); ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES k NOT VALID",
         "ALTER TABLE t ADD CONSTRAINT e CHECK (x > 5) NOT ENFORCED"),
    kind("disabled triggers", NOTES, "CREATE FUNCTION n() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
         "CREATE TRIGGER t1 BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION n()", "CREATE TRIGGER t2 BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION n()",
         "CREATE CONSTRAINT TRIGGER t3 AFTER UPDATE ON notes DEFERRABLE FOR EACH ROW WHEN (OLD.a > 0) EXECUTE FUNCTION n()",
         "ALTER TABLE notes DISABLE TRIGGER t1; ALTER TABLE notes ENABLE ALWAYS TRIGGER t2"),
    kind("text search", "CREATE TEXT SEARCH DICTIONARY d (template = simple, stopwords = english)", "CREATE TEXT SEARCH CONFIGURATION c (copy = english)",
         "ALTER TEXT SEARCH CONFIGURATION c ALTER MAPPING FOR asciiword WITH d", "CREATE TABLE t (b text, v tsvector GENERATED ALWAYS AS (to_tsvector('c', b)) STORED)",
         "INSERT INTO t VALUES ('the quick fox'); CREATE INDEX ON t USING gin (v)"),
    kind("virtual generated columns", "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL); INSERT INTO t VALUES (1)"),
    kind("typed tables and dropped columns", "CREATE TYPE tt AS (a int, b text); CREATE TABLE t OF tt (PRIMARY KEY (a)); INSERT INTO t VALUES (1, 'x')",
         "CREATE TABLE d (a int, b int, c int DEFAULT 3); INSERT INTO d VALUES (1, 2); ALTER TABLE d DROP b; ALTER TABLE d ADD e int DEFAULT 9"),
)  # fmt: skip

KINDS = (*ROLES, *DATABASE, *EVALUATED, *OBJECTS)
