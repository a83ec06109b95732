/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages without a credential and without a record (contract §2): health and
 * metrics out of the processes' own blocks, the interface's description, the
 * issuer's public keys.
 */
#include "rest.h"

#include <stdlib.h>
#include <string.h>

enum {
	JWKS_TIMEOUT_MS = 1000,
	HEALTH_KEEP_MS = 250, /* reading the blocks costs more than a request */
};

/* ----------------------------------------------------------------- health */

enum need { NEED_ALWAYS, NEED_DEGRADES };

static const struct {
	const char *name;
	enum ag_role role; /* NONE: the broker */
	enum need need;
} checks[] = {
	{ "broker", AG_ROLE_NONE, NEED_ALWAYS },
	{ "iam", AG_ROLE_IAM, NEED_ALWAYS },
	{ "risk", AG_ROLE_RISK, NEED_DEGRADES },
	{ "anomaly", AG_ROLE_ANOMALY, NEED_DEGRADES },
	{ "responder", AG_ROLE_RESPONDER, NEED_DEGRADES },
	{ "keys", AG_ROLE_KEYS, NEED_ALWAYS },
	{ "journal", AG_ROLE_JOURNAL, NEED_ALWAYS },
	{ "audit", AG_ROLE_AUDIT, NEED_ALWAYS },
	{ "rot", AG_ROLE_ROT, NEED_ALWAYS },
	{ "shared", AG_ROLE_SHARED, NEED_DEGRADES },
};
enum { CHECK_COUNT = sizeof(checks) / sizeof(checks[0]) };

struct health {
	struct ag_metrics_block *blocks;
	size_t count;
	uint64_t read_ms;
	const char *status; /* of the whole; NULL: never read */
	bool up[CHECK_COUNT];
	const char *detail[CHECK_COUNT];
};

static const char *
word_of(const struct health *health, unsigned i)
{
	if (!health->up[i])
		return "unavailable";
	return health->detail[i] == NULL ? "ok" : "degraded";
}

/* All rows of the role must be alive; what the first that is not says, or one
 * that works and has something to say. */
static void
check(struct rest *rest, struct health *health, unsigned i)
{
	const char *role = checks[i].role == AG_ROLE_NONE ? "broker" :
	    ag_role_name(checks[i].role);
	unsigned want = checks[i].role == AG_ROLE_NONE ? 1 :
	    ag_slot_count(rest->plane.ctx, checks[i].role), alive = 0;
	const struct ag_metrics_block *block = health->blocks;
	const char *dead = NULL;

	health->detail[i] = NULL;
	for (; block < health->blocks + health->count; block++) {
		if (strcmp(block->role, role) != 0 && strcmp(block->name, role) != 0)
			continue;
		if (!ag_metrics_alive(block))
			dead = block->detail[0] == '\0' ? "not responding" :
			    block->detail;
		else if (alive++ == 0 || block->detail[0] != '\0')
			health->detail[i] = block->detail[0] == '\0' ? NULL :
			    block->detail;
	}
	health->up[i] = alive >= want && alive > 0;
	if (!health->up[i])
		health->detail[i] = dead;
	if (!health->up[i] && health->detail[i] == NULL)
		health->detail[i] = "not running";
}

/* Not every fleet has every process. */
static bool
is_there(const struct rest *rest, unsigned i)
{
	return checks[i].role != AG_ROLE_SHARED ||
	    ag_slot_count(rest->plane.ctx, AG_ROLE_SHARED) > 0;
}

static void
health_read(struct rest *rest, struct health *health)
{
	unsigned i;

	free(health->blocks);
	memset(health, 0, sizeof(*health));
	if (ag_metrics_read(ag_run_dir(rest->plane.ctx), &health->blocks,
	    &health->count) != AG_OK)
		health->count = 0;
	health->status = "ok";
	for (i = 0; i < CHECK_COUNT; i++) {
		if (!is_there(rest, i))
			continue;
		check(rest, health, i);
		if (health->up[i] && health->detail[i] == NULL)
			continue;
		if (!health->up[i] && checks[i].need == NEED_ALWAYS)
			health->status = "unavailable";
		else if (strcmp(health->status, "ok") == 0)
			health->status = "degraded";
	}
	if (strcmp(health->status, "unavailable") != 0)
		rest->was_ready = true;
}

/* Anybody may ask, as often as they like. */
static const struct health *
health_now(struct rest *rest)
{
	uint64_t now = ag_mono_ms(rest->plane.ctx);

	if (rest->health == NULL)
		rest->health = calloc(1, sizeof(*rest->health));
	if (rest->health == NULL)
		ag_panic("no memory for the state of health");
	if (rest->health->status == NULL || now - rest->health->read_ms >= HEALTH_KEEP_MS) {
		health_read(rest, rest->health);
		rest->health->read_ms = now;
	}
	return rest->health;
}

void
health_free(struct rest *rest)
{
	if (rest->health != NULL)
		free(rest->health->blocks);
	free(rest->health);
}

static void
health_answer(struct conn *conn, const struct health *health, unsigned status,
    const char *word)
{
	struct text body = { 0 };
	unsigned i;

	text_printf(&body, "{\"status\":\"%s\",\"checks\":[", word);
	for (i = 0; i < CHECK_COUNT; i++) {
		if (!is_there(rest_of(conn), i))
			continue;
		text_printf(&body, "%s{\"name\":\"%s\",\"status\":\"%s\",\"detail\":",
		    i == 0 ? "" : ",", checks[i].name, word_of(health, i));
		text_json(&body, health->detail[i]);
		text_char(&body, '}');
	}
	text_str(&body, "]}");
	answer_page(conn, status, "application/json", "", body.bytes, body.len);
	text_fini(&body);
}

static void
page_live(struct conn *conn)
{
	health_answer(conn, health_now(rest_of(conn)), 200, "ok");
}

static void
page_ready(struct conn *conn)
{
	const struct health *health = health_now(rest_of(conn));
	const char *status = conn->plane->draining ? "unavailable" : health->status;

	health_answer(conn, health, strcmp(status, "unavailable") != 0 ? 200 : 503,
	    status);
}

static void
page_startup(struct conn *conn)
{
	const struct health *health = health_now(rest_of(conn));
	bool up = rest_of(conn)->was_ready;

	health_answer(conn, health, up ? 200 : 503, up ? "ok" : "unavailable");
}

/* ---------------------------------------------------------------- metrics */

static const char *const kinds[] = { "counter", "gauge", "histogram" };

/* The same metric of two processes is one family: named once. */
static bool
seen_before(const struct ag_metrics_block *blocks, size_t block, uint32_t metric)
{
	const char *name = blocks[block].metrics[metric].name;
	uint32_t j;
	size_t i;

	for (i = 0; i <= block; i++)
		for (j = 0; j < (i == block ? metric : blocks[i].count) &&
		    j < AG_METRICS_MAX; j++)
			if (strcmp(blocks[i].metrics[j].name, name) == 0)
				return true;
	return false;
}

static void
print_histogram(struct text *out, const char *process, const struct ag_metric *m)
{
	uint64_t sum = 0, bound = 50;
	unsigned i;

	for (i = 0; i < AG_HISTOGRAM_BUCKETS; i++, bound *= 2) {
		sum += m->buckets[i];
		text_printf(out, "aegis_%s_bucket{process=\"%s\",le=\"", m->name,
		    process);
		if (i == AG_HISTOGRAM_BUCKETS - 1)
			text_str(out, "+Inf");
		else
			text_number(out, (double)bound / 1e6);
		text_printf(out, "\"} %llu\n", (unsigned long long)sum);
	}
	text_printf(out, "aegis_%s_sum{process=\"%s\"} ", m->name, process);
	text_number(out, (double)m->sum_us / 1e6);
	text_printf(out, "\naegis_%s_count{process=\"%s\"} %llu\n", m->name, process,
	    (unsigned long long)sum);
}

/* One family: its head, then each process's value. */
static void
print_family(struct text *out, const struct ag_metrics_block *blocks,
    size_t count, const struct ag_metric *family)
{
	const struct ag_metric *m;
	uint32_t j;
	size_t i;

	text_printf(out, "# HELP aegis_%s %s\n# TYPE aegis_%s %s\n", family->name,
	    family->help, family->name, kinds[family->kind]);
	for (i = 0; i < count; i++)
		for (j = 0; j < blocks[i].count && j < AG_METRICS_MAX; j++) {
			m = &blocks[i].metrics[j];
			if (strcmp(m->name, family->name) != 0)
				continue;
			if (family->kind == AG_HISTOGRAM_US)
				print_histogram(out, blocks[i].name, m);
			else if (m->tenant[0] != '\0')
				text_printf(out, "aegis_%s{process=\"%s\","
				    "tenant=\"%s\"} %llu\n", m->name,
				    blocks[i].name, m->tenant,
				    (unsigned long long)m->value);
			else
				text_printf(out, "aegis_%s{process=\"%s\"} %llu\n",
				    m->name, blocks[i].name,
				    (unsigned long long)m->value);
		}
}

static void
print_process_gauges(struct text *out, const struct ag_metrics_block *blocks,
    size_t count)
{
	size_t i;

	text_str(out, "# HELP aegis_up Whether the process is alive\n"
	    "# TYPE aegis_up gauge\n");
	for (i = 0; i < count; i++)
		text_printf(out, "aegis_up{process=\"%s\"} %d\n", blocks[i].name,
		    ag_metrics_alive(&blocks[i]));
	text_str(out, "# HELP aegis_queue Messages waiting, as last seen\n"
	    "# TYPE aegis_queue gauge\n");
	for (i = 0; i < count; i++)
		text_printf(out, "aegis_queue{process=\"%s\"} %llu\n",
		    blocks[i].name, (unsigned long long)blocks[i].queue);
}

static void
page_metrics(struct conn *conn)
{
	struct ag_metrics_block *blocks = NULL;
	struct text body = { 0 };
	size_t count = 0, i;
	uint32_t j;

	if (!conn->loopback) {
		refuse_set(&conn->own, AG_PERMISSION_DENIED, "source_address", NULL,
		    "metrics are shown on loopback only");
		answer_own(conn);
		return;
	}
	if (ag_metrics_read(ag_run_dir(conn->plane->ctx), &blocks, &count) != AG_OK)
		count = 0;
	print_process_gauges(&body, blocks, count);
	for (i = 0; i < count; i++)
		for (j = 0; j < blocks[i].count && j < AG_METRICS_MAX; j++)
			if (blocks[i].metrics[j].kind <= AG_HISTOGRAM_US &&
			    !seen_before(blocks, i, j))
				print_family(&body, blocks, count,
				    &blocks[i].metrics[j]);
	free(blocks);
	answer_page(conn, 200, "text/plain; version=0.0.4; charset=utf-8", "",
	    body.bytes, body.len);
	text_fini(&body);
}

/* -------------------------------------------------------------- the rest */

static void
page_openapi(struct conn *conn)
{
	struct text *text = &rest_of(conn)->openapi;

	if (text->len == 0)
		openapi_print(text);
	answer_page(conn, 200, "application/json", "", text->bytes, text->len);
}

static void
page_docs(struct conn *conn)
{
	struct rest *rest = rest_of(conn);

	if (rest->docs.len == 0)
		docs_print(&rest->docs, rest->docs_csp, sizeof(rest->docs_csp));
	answer_page(conn, 200, "text/html; charset=utf-8", rest->docs_csp,
	    rest->docs.bytes, rest->docs.len);
}

static void
page_info(struct conn *conn)
{
	struct text body = { 0 };

	text_printf(&body, "{\"product\":\"aegis\",\"version\":\"" AEGIS_VERSION
	    "\",\"api\":\"v1\",\"environment\":\"%s\"}",
	    ag_is_dev(conn->plane->ctx) ? "dev" : "prod");
	answer_page(conn, 200, "application/json", "", body.bytes, body.len);
	text_fini(&body);
}

static ag_err
jwks_then(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct conn *conn = *(struct conn **)memo;
	struct text body = { 0 };

	(void)state;
	(void)ctx;
	if (status != AG_OK) {
		refuse_set(&conn->own, AG_UNAVAILABLE, "starting", NULL,
		    "the keys are not known yet");
		answer_own(conn);
		return AG_OK;
	}
	codec_print(&body, msg);
	answer_page(conn, 200, "application/json", "", body.bytes, body.len);
	text_fini(&body);
	return AG_OK;
}

/* The connection stays while iam is asked: CONN_LOCAL is under way. */
static void
page_jwks(struct conn *conn)
{
	Ag__JwksAsk ask = AG__JWKS_ASK__INIT;
	struct rest *rest = rest_of(conn);
	ag_err err;

	conn_place(conn, CONN_LOCAL);
	err = ag_ask(rest->plane.ctx, plane_iam(&rest->plane), AG_MSG_JWKS_ASK, &ask,
	    AG_MSG_JWKS_REPLY, JWKS_TIMEOUT_MS, jwks_then, &conn, sizeof(conn));
	if (err == AG_PENDING)
		return;
	refuse_set(&conn->own, AG_UNAVAILABLE, "starting", NULL,
	    "the keys are not known yet");
	answer_own(conn);
}

static void (*const pages[PAGE_COUNT])(struct conn *) = {
	[PAGE_LIVE] = page_live,
	[PAGE_READY] = page_ready,
	[PAGE_STARTUP] = page_startup,
	[PAGE_METRICS] = page_metrics,
	[PAGE_OPENAPI] = page_openapi,
	[PAGE_DOCS] = page_docs,
	[PAGE_JWKS] = page_jwks,
	[PAGE_INFO] = page_info,
};

void
page_answer(struct conn *conn)
{
	struct pool *pool = &conn->plane->pool;
	char *query = http_query(&conn->in);
	bool good = query == NULL || codec_bind_query(pool,
	    &ag__nothing__descriptor, query, &conn->own) != NULL;

	pool_reset(pool);
	/* Pages take no parameters, and say so like every route. */
	if (!good) {
		answer_own(conn);
		return;
	}
	pages[conn->in.match.route->page](conn);
}
