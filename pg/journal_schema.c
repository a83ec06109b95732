/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema: the journal in PostgreSQL. Numbers of migrations only grow; one that
 * was ever released is never changed again.
 *
 * Order without gaps: a sequence would hand out numbers before commit, so that
 * a reader could pass 8 while 7 is still open. Here the position is the one row
 * of `head`, and append() holds that row's lock until its transaction ends: who
 * has a lower position has committed before, and what was rolled back took no
 * position. So "everything after n" is complete whenever it is read.
 *
 * The tables only grow: triggers refuse what would change or remove a record,
 * and what would bring a stream back that has ended. Everything is written by
 * functions that run as the schema's owner, so the role that Aegis uses needs
 * no right to write to any table.
 */
#include "journal_schema.h"

#define TABLES \
	"CREATE TABLE aegis_journal.head (" \
	" one boolean PRIMARY KEY DEFAULT true CHECK (one)," \
	" id text NOT NULL DEFAULT gen_random_uuid()::text," \
	" seq bigint NOT NULL DEFAULT 0);" \
	"INSERT INTO aegis_journal.head DEFAULT VALUES;" \
	/* One row a record. outcome is what its author owes the audit log. */ \
	"CREATE TABLE aegis_journal.event (" \
	" seq bigint PRIMARY KEY CHECK (seq > 0)," \
	" stream text COLLATE \"C\" NOT NULL," \
	" version bigint NOT NULL CHECK (version > 0)," \
	" type int NOT NULL, fact bytea NOT NULL, committed_at bigint NOT NULL," \
	" tenant text NOT NULL, actor_id text, request_id bytea," \
	" node text NOT NULL, author text NOT NULL," \
	" outcome bytea, prev_outcome bigint," \
	" UNIQUE (stream, version));" \
	"CREATE TABLE aegis_journal.stream (" \
	" name text COLLATE \"C\" PRIMARY KEY, version bigint NOT NULL," \
	" ended boolean NOT NULL);" \
	/* Who writes; a higher epoch shuts the node's former process out. */ \
	"CREATE TABLE aegis_journal.node (" \
	" id text PRIMARY KEY, epoch bigint NOT NULL);" \
	"CREATE TABLE aegis_journal.author (" \
	" node text, name text, outcome bigint NOT NULL," \
	" PRIMARY KEY (node, name));" \
	"CREATE TABLE aegis_journal.idem (" \
	" digest bytea PRIMARY KEY, actor text NOT NULL, at bigint NOT NULL," \
	" body bytea NOT NULL, reply_type int NOT NULL, reply bytea NOT NULL);" \
	"CREATE INDEX ON aegis_journal.idem (at);" \
	"CREATE INDEX ON aegis_journal.idem (actor, at);"

#define WALLS \
	"CREATE FUNCTION aegis_journal.only_grows() RETURNS trigger" \
	" LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION" \
	" 'the journal only grows: % of % is refused', TG_OP, TG_TABLE_NAME" \
	" USING ERRCODE = 'AG002'; END $$;" \
	"CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE" \
	" ON aegis_journal.event FOR EACH ROW" \
	" EXECUTE FUNCTION aegis_journal.only_grows();" \
	"CREATE TRIGGER never_emptied BEFORE TRUNCATE" \
	" ON aegis_journal.event FOR EACH STATEMENT" \
	" EXECUTE FUNCTION aegis_journal.only_grows();" \
	"CREATE TRIGGER only_grows BEFORE DELETE" \
	" ON aegis_journal.stream FOR EACH ROW" \
	" EXECUTE FUNCTION aegis_journal.only_grows();" \
	"CREATE TRIGGER never_emptied BEFORE TRUNCATE" \
	" ON aegis_journal.stream FOR EACH STATEMENT" \
	" EXECUTE FUNCTION aegis_journal.only_grows();" \
	"CREATE FUNCTION aegis_journal.goes_on() RETURNS trigger" \
	" LANGUAGE plpgsql AS $$ BEGIN" \
	" IF NEW.name <> OLD.name OR NEW.version <= OLD.version" \
	"  OR (OLD.ended AND NOT NEW.ended) THEN RAISE EXCEPTION" \
	"  'stream % is at version %, ended %: there is no way back'," \
	"  OLD.name, OLD.version, OLD.ended USING ERRCODE = 'AG002';" \
	" END IF; RETURN NEW; END $$;" \
	"CREATE TRIGGER goes_on BEFORE UPDATE ON aegis_journal.stream" \
	" FOR EACH ROW EXECUTE FUNCTION aegis_journal.goes_on();" \
	"CREATE FUNCTION aegis_journal.head_goes_on() RETURNS trigger" \
	" LANGUAGE plpgsql AS $$ BEGIN" \
	" IF TG_OP <> 'UPDATE' OR NEW.seq < OLD.seq OR NEW.id <> OLD.id" \
	"  THEN RAISE EXCEPTION 'the journal is at %: there is no way back'," \
	"  OLD.seq USING ERRCODE = 'AG002'; END IF; RETURN NEW; END $$;" \
	"CREATE TRIGGER goes_on BEFORE UPDATE OR DELETE" \
	" ON aegis_journal.head FOR EACH ROW" \
	" EXECUTE FUNCTION aegis_journal.head_goes_on();"

#define RUNS_AS_OWNER \
	" LANGUAGE plpgsql SECURITY DEFINER" \
	" SET search_path = aegis_journal, pg_catalog, pg_temp AS $$ "

/* Every change of a turn: the a_ are of appends, the c_ of their changes, a
 * slice of a_count[a] for each. An append is done whole or not at all, whatever
 * becomes of the others. */
#define APPEND \
	"CREATE FUNCTION aegis_journal.append(p_node text, p_epoch bigint," \
	" p_at bigint, a_count int[], a_tenant text[], a_actor text[]," \
	" a_author text[], a_request bytea[], a_outcome bytea[]," \
	" a_idem bytea[], a_body bytea[], a_reply_type int[]," \
	" a_reply bytea[], c_stream text[], c_expected bigint[]," \
	" c_type int[], c_fact bytea[], c_ended boolean[])" \
	" RETURNS TABLE (o_status int, o_first bigint, o_last bigint, o_prev bigint," \
	" o_stream text, o_version bigint)" RUNS_AS_OWNER \
	"DECLARE h bigint; s int := 1; e int; " \
	"BEGIN" \
	" SELECT seq INTO h FROM head FOR UPDATE;" \
	" PERFORM FROM node WHERE id = p_node AND epoch = p_epoch;" \
	" IF NOT FOUND THEN RAISE EXCEPTION" \
	"  'another process took the place of node %', p_node" \
	"  USING ERRCODE = 'AG001'; END IF;" \
	" FOR a IN 1 .. cardinality(a_count) LOOP" \
	"  e := s + a_count[a] - 1;" \
	"  o_status := 0; o_first := h + 1; o_prev := NULL;" \
	"  o_last := h + a_count[a];" \
	"  o_stream := NULL; o_version := NULL;" \
	"  IF a_idem[a] IS NOT NULL THEN" \
	"   PERFORM FROM idem WHERE digest = a_idem[a]" \
	"    AND at > p_at - 86400000;" \
	"   IF FOUND THEN o_status := 2; END IF;" \
	"  END IF;" \
	"  IF o_status = 0 THEN" \
	"   SELECT c.name, coalesce(t.version, 0) INTO o_stream, o_version" \
	"    FROM (SELECT u.name, u.expected, u.i, row_number() OVER" \
	"     (PARTITION BY u.name ORDER BY u.i) - 1 AS earlier" \
	"     FROM unnest(c_stream[s:e], c_expected[s:e]) WITH ORDINALITY" \
	"     AS u (name, expected, i)) AS c" \
	"    LEFT JOIN stream t ON t.name = c.name" \
	"    WHERE coalesce(t.version, 0) + c.earlier <> c.expected" \
	"    ORDER BY c.i LIMIT 1;" \
	"   IF FOUND THEN o_status := 1; END IF;" \
	"  END IF;" \
	"  IF o_status = 0 THEN" \
	"   SELECT t.name, t.version INTO o_stream, o_version" \
	"    FROM unnest(c_stream[s:e], c_ended[s:e]) AS u (name, ended)" \
	"    JOIN stream t ON t.name = u.name" \
	"    WHERE t.ended AND u.ended = false LIMIT 1;" \
	"   IF FOUND THEN o_status := 3; END IF;" \
	"  END IF;" \
	"  IF o_status = 0 THEN" \
	"   IF a_outcome[a] IS NOT NULL THEN" \
	"    SELECT outcome INTO o_prev FROM author" \
	"     WHERE node = p_node AND name = a_author[a];" \
	"    o_prev := coalesce(o_prev, 0);" \
	"    INSERT INTO author VALUES (p_node, a_author[a], h + a_count[a])" \
	"     ON CONFLICT (node, name) DO UPDATE" \
	"     SET outcome = EXCLUDED.outcome;" \
	"   END IF;" \
	"   INSERT INTO event SELECT h + u.i, u.name, u.expected + 1, u.type," \
	"    u.fact, p_at, a_tenant[a], a_actor[a], a_request[a], p_node," \
	"    a_author[a], CASE WHEN u.i = a_count[a] THEN a_outcome[a] END," \
	"    CASE WHEN u.i = a_count[a] THEN o_prev END" \
	"    FROM unnest(c_stream[s:e], c_expected[s:e], c_type[s:e]," \
	"    c_fact[s:e]) WITH ORDINALITY AS u (name, expected, type, fact, i);" \
	"   INSERT INTO stream AS t SELECT u.name, max(u.expected) + 1," \
	"    coalesce(bool_or(u.ended), false)" \
	"    FROM unnest(c_stream[s:e], c_expected[s:e], c_ended[s:e])" \
	"    AS u (name, expected, ended) GROUP BY u.name" \
	"    ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version," \
	"    ended = t.ended OR EXCLUDED.ended;" \
	"   IF a_idem[a] IS NOT NULL THEN" \
	"    INSERT INTO idem VALUES (a_idem[a], coalesce(a_actor[a], '')," \
	"     p_at, a_body[a], a_reply_type[a], a_reply[a])" \
	"     ON CONFLICT (digest) DO UPDATE SET at = EXCLUDED.at," \
	"     actor = EXCLUDED.actor, body = EXCLUDED.body," \
	"     reply_type = EXCLUDED.reply_type, reply = EXCLUDED.reply;" \
	"   END IF;" \
	"   h := h + a_count[a];" \
	"  END IF;" \
	"  s := e + 1;" \
	"  RETURN NEXT;" \
	" END LOOP;" \
	" UPDATE head SET seq = h WHERE seq <> h;" \
	" PERFORM pg_notify('aegis_journal', h::text);" \
	"END $$;"

#define ENTER \
	"CREATE FUNCTION aegis_journal.enter(p_node text) RETURNS TABLE" \
	" (o_id text, o_seq bigint, o_epoch bigint)" RUNS_AS_OWNER \
	"BEGIN" \
	/* Behind whatever the node's former process still has under way. */ \
	" SELECT id, seq INTO o_id, o_seq FROM head FOR UPDATE;" \
	" INSERT INTO node AS n VALUES (p_node, 1) ON CONFLICT (id)" \
	"  DO UPDATE SET epoch = n.epoch + 1 RETURNING n.epoch INTO o_epoch;" \
	" RETURN NEXT;" \
	"END $$;"

/* Answers older than a day, and of one principal all but the newest 10,000. */
#define PURGE \
	"CREATE FUNCTION aegis_journal.purge(p_now bigint) RETURNS void" \
	RUNS_AS_OWNER \
	"BEGIN" \
	" DELETE FROM idem WHERE digest IN (SELECT digest FROM idem" \
	"  WHERE at <= p_now - 86400000 LIMIT 10000);" \
	" DELETE FROM idem WHERE digest IN (SELECT digest FROM (SELECT digest," \
	"  row_number() OVER (PARTITION BY actor ORDER BY at DESC, digest DESC)" \
	"  AS n" \
	"  FROM idem WHERE actor IN (SELECT actor FROM idem GROUP BY actor" \
	"  HAVING count(*) > 10000)) AS x WHERE n > 10000);" \
	"END $$;" \
	"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA aegis_journal FROM PUBLIC;"

/*
 * A fence holds only if both sides write the same row: a reader whose snapshot is
 * older than the fence must fail, whatever isolation the database's defaults or a
 * pooler gave it. So who enters writes the head, which append() locks: an append
 * that was under way is then refused (40001) or sees the new epoch. And who says
 * that he has heard everything writes his own row, which no replica can do and no
 * process that was displaced.
 *
 * moved: the journal went into the state directory of that node, and this one has
 * ended.
 */
#define FENCE \
	"ALTER TABLE aegis_journal.head" \
	" ADD entries bigint NOT NULL DEFAULT 0, ADD moved text;" \
	"ALTER TABLE aegis_journal.node ADD heard_at timestamptz;" \
	"CREATE OR REPLACE FUNCTION aegis_journal.head_goes_on()" \
	" RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN" \
	" IF TG_OP <> 'UPDATE' OR NEW.seq < OLD.seq OR NEW.id <> OLD.id" \
	"  OR NEW.entries < OLD.entries OR (OLD.moved IS NOT NULL AND" \
	"  (NEW.moved IS DISTINCT FROM OLD.moved OR NEW.seq <> OLD.seq))" \
	"  THEN RAISE EXCEPTION 'the journal is at %: there is no way back'," \
	"  OLD.seq USING ERRCODE = 'AG002'; END IF;" \
	/* Until the transaction ends, so for its commit. */ \
	" IF current_setting('synchronous_commit') IN ('off', 'local')" \
	"  THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;" \
	" RETURN NEW; END $$;" \
	"CREATE OR REPLACE FUNCTION aegis_journal.enter(p_node text)" \
	" RETURNS TABLE (o_id text, o_seq bigint, o_epoch bigint)" \
	RUNS_AS_OWNER \
	"DECLARE m text; BEGIN" \
	/* Behind whatever the node's former process still has under way. */ \
	" UPDATE head SET entries = entries + 1" \
	"  RETURNING id, seq, moved INTO o_id, o_seq, m;" \
	" IF m IS NOT NULL THEN RAISE EXCEPTION 'the journal was moved to the" \
	" state directory of node %', m USING ERRCODE = 'AG003'; END IF;" \
	" INSERT INTO node AS n VALUES (p_node, 1, clock_timestamp())" \
	"  ON CONFLICT (id) DO UPDATE SET epoch = n.epoch + 1," \
	"  heard_at = clock_timestamp() RETURNING n.epoch INTO o_epoch;" \
	" RETURN NEXT;" \
	"END $$;" \
	"CREATE FUNCTION aegis_journal.hear(p_node text, p_epoch bigint)" \
	" RETURNS bigint" RUNS_AS_OWNER \
	"DECLARE h bigint; BEGIN" \
	" UPDATE node SET heard_at = clock_timestamp()" \
	"  WHERE id = p_node AND epoch = p_epoch;" \
	" IF NOT FOUND THEN RAISE EXCEPTION" \
	"  'another process took the place of node %', p_node" \
	"  USING ERRCODE = 'AG001'; END IF;" \
	" SELECT seq INTO h FROM head;" \
	" RETURN h;" \
	"END $$;" \
	"REVOKE ALL ON FUNCTION aegis_journal.hear(text, bigint) FROM PUBLIC;" \
	/* Whoever may enter may hear: no grant is to be repeated for an upgrade. */ \
	"DO $$ DECLARE r regrole; BEGIN" \
	" FOR r IN SELECT a.grantee::regrole FROM pg_proc p, aclexplode(p.proacl) a" \
	"  WHERE p.oid = 'aegis_journal.enter(text)'::regprocedure" \
	"  AND a.privilege_type = 'EXECUTE' AND a.grantee <> 0" \
	" LOOP EXECUTE format('GRANT EXECUTE ON FUNCTION" \
	"  aegis_journal.hear(text, bigint) TO %s', r); END LOOP;" \
	"END $$;"

/*
 * A turn's appends as a few statements for all of them, where nothing is in
 * their way: the same rows at a third of the time (docs/performance.md). Where
 * something is (a stream that moved or has ended, one that ends, an
 * Idempotency-Key), it is the former append, one after the other.
 */
#define APPEND_ARGS \
	"(text, bigint, bigint, int[], text[], text[], text[], bytea[]," \
	" bytea[], bytea[], bytea[], int[], bytea[], text[], bigint[], int[]," \
	" bytea[], boolean[])"
#define EACH \
	" RETURN QUERY SELECT * FROM append_each(p_node, p_epoch, p_at, a_count," \
	"  a_tenant, a_actor, a_author, a_request, a_outcome, a_idem, a_body," \
	"  a_reply_type, a_reply, c_stream, c_expected, c_type, c_fact, c_ended);" \
	" RETURN;"
/* Appends by their place, with the position of the last record of each. */
#define APPENDS \
	" (SELECT v.a, v.n, v.author, v.outcome IS NOT NULL AS owed," \
	"  h + sum(v.n) OVER (ORDER BY v.a) AS last" \
	"  FROM unnest(a_count, a_author, a_outcome) WITH ORDINALITY" \
	"  AS v (n, author, outcome, a))"
#define TOGETHER \
	"CREATE FUNCTION aegis_journal.append_together(p_node text, p_epoch bigint," \
	" p_at bigint, a_count int[], a_tenant text[], a_actor text[]," \
	" a_author text[], a_request bytea[], a_outcome bytea[]," \
	" a_idem bytea[], a_body bytea[], a_reply_type int[]," \
	" a_reply bytea[], c_stream text[], c_expected bigint[]," \
	" c_type int[], c_fact bytea[], c_ended boolean[])" \
	" RETURNS TABLE (o_status int, o_first bigint, o_last bigint, o_prev bigint," \
	" o_stream text, o_version bigint)" RUNS_AS_OWNER \
	"DECLARE h bigint; c_append int[]; a_prev bigint[]; " \
	"BEGIN" \
	" IF cardinality(a_count) < 2 OR true = ANY (c_ended)" \
	"  OR cardinality(array_remove(a_idem, NULL)) > 0 THEN" EACH " END IF;" \
	" SELECT seq INTO h FROM head FOR UPDATE;" \
	" PERFORM FROM node WHERE id = p_node AND epoch = p_epoch;" \
	" IF NOT FOUND THEN RAISE EXCEPTION" \
	"  'another process took the place of node %', p_node" \
	"  USING ERRCODE = 'AG001'; END IF;" \
	" PERFORM FROM (SELECT u.name, u.expected, u.ended, row_number() OVER" \
	"   (PARTITION BY u.name ORDER BY u.i) - 1 AS earlier" \
	"   FROM unnest(c_stream, c_expected, c_ended) WITH ORDINALITY" \
	"   AS u (name, expected, ended, i)) AS c" \
	"  LEFT JOIN stream t ON t.name = c.name" \
	"  WHERE coalesce(t.version, 0) + c.earlier <> c.expected" \
	"  OR (t.ended AND c.ended = false) LIMIT 1;" \
	" IF FOUND THEN" EACH " END IF;" \
	" SELECT array_agg(u.a ORDER BY u.a) INTO c_append" \
	"  FROM (SELECT v.a, generate_series(1, v.n)" \
	"  FROM unnest(a_count) WITH ORDINALITY AS v (n, a)) AS u;" \
	" SELECT array_agg(CASE WHEN x.owed THEN" \
	"   coalesce(x.before, t.outcome, 0) END ORDER BY x.a) INTO a_prev" \
	"  FROM (SELECT u.a, u.author, u.owed, max(CASE WHEN u.owed THEN u.last" \
	"   END) OVER (PARTITION BY u.author ORDER BY u.a ROWS BETWEEN" \
	"   UNBOUNDED PRECEDING AND 1 PRECEDING) AS before" \
	"   FROM" APPENDS " AS u) AS x" \
	"  LEFT JOIN author t ON t.node = p_node AND t.name = x.author;" \
	" INSERT INTO author SELECT p_node, u.author, max(u.last)" \
	"  FROM" APPENDS " AS u WHERE u.owed GROUP BY u.author" \
	"  ON CONFLICT (node, name) DO UPDATE SET outcome = EXCLUDED.outcome;" \
	" INSERT INTO event SELECT h + u.i, u.name, u.expected + 1, u.type," \
	"   u.fact, p_at, a_tenant[u.a], a_actor[u.a], a_request[u.a], p_node," \
	"   a_author[u.a], CASE WHEN u.final THEN a_outcome[u.a] END," \
	"   CASE WHEN u.final THEN a_prev[u.a] END" \
	"  FROM (SELECT w.*, lead(w.a) OVER (ORDER BY w.i) IS DISTINCT FROM w.a" \
	"   AS final FROM unnest(c_stream, c_expected, c_type, c_fact, c_append)" \
	"   WITH ORDINALITY AS w (name, expected, type, fact, a, i)) AS u;" \
	" INSERT INTO stream AS t SELECT u.name, max(u.expected) + 1, false" \
	"  FROM unnest(c_stream, c_expected) AS u (name, expected)" \
	"  GROUP BY u.name" \
	"  ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version;" \
	" UPDATE head SET seq = h + cardinality(c_stream);" \
	" PERFORM pg_notify('aegis_journal'," \
	"  (h + cardinality(c_stream))::text);" \
	" RETURN QUERY SELECT 0, (u.last - u.n + 1)::bigint, u.last::bigint," \
	"  a_prev[u.a], NULL::text, NULL::bigint FROM" APPENDS " AS u" \
	"  ORDER BY u.a;" \
	"END $$;"

/* It takes the name that nodes of every version call. */
#define TAKES_OVER \
	"ALTER FUNCTION aegis_journal.append" APPEND_ARGS \
	" RENAME TO append_each;" \
	"ALTER FUNCTION aegis_journal.append_together" APPEND_ARGS \
	" RENAME TO append;" \
	"REVOKE ALL ON FUNCTION aegis_journal.append" APPEND_ARGS " FROM PUBLIC;" \
	/* Whoever could append still may. */ \
	"DO $$ DECLARE r regrole; BEGIN" \
	" FOR r IN SELECT a.grantee::regrole FROM pg_proc p, aclexplode(p.proacl) a" \
	"  WHERE p.oid = 'aegis_journal.append_each" APPEND_ARGS "'::regprocedure" \
	"  AND a.privilege_type = 'EXECUTE' AND a.grantee <> 0" \
	" LOOP EXECUTE format('GRANT EXECUTE ON FUNCTION" \
	"  aegis_journal.append" APPEND_ARGS " TO %s', r); END LOOP;" \
	"END $$;"

static const char *const migrations[] = {
	/* 1 */ TABLES,
	/* 2 */ WALLS,
	/* 3 */ APPEND,
	/* 4 */ ENTER PURGE,
	/* 5 */ FENCE,
	/* 6 */ TOGETHER,
	/* 7 */ TAKES_OVER,
};

const struct pg_schema journal_schema = {
	.name = "aegis_journal",
	.lock = INT64_C(7310589216140031855),
	.migrations = migrations,
	.version = sizeof(migrations) / sizeof(migrations[0]),
};

const char journal_grants[] =
	"GRANT USAGE ON SCHEMA aegis_journal TO %s;\n"
	"GRANT SELECT ON aegis_journal.migration, aegis_journal.event,"
	" aegis_journal.idem TO %s;\n"
	"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aegis_journal TO %s;\n";
