/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters by agent, hour and operation. A row of the store is "<agent><hour,
 * big endian><operation>"; its hour is that of the events' occurred_at, so that
 * a row is what the log holds of this agent and operation between two hours.
 */
#include "exec.h"
#include "iam.h"

#include <aegis/bytes.h>

#include <string.h>

enum {
	HOUR_MS = 3600 * 1000,
	ID_LEN = 36,         /* "agt_" and 32 hex digits */
	HEAD_LEN = ID_LEN + 4,
	VISITS_MAX = 10000,  /* rows looked at for one page */
	SWEEP_VISITS = 512,  /* rows looked at in a round */
	SWEEP_MAX = 64,      /* and removed */
};

/* ------------------------------------------------------------------ counting */

void
iam_usage_init(struct iam_usage *usage, struct ag_ctx *ctx)
{
	usage->kept_ms = ag_config_int(ctx, "limits.usage_kept_s") *
	    INT64_C(1000);
}

static unsigned
place_of(const char *agent, uint32_t hour, const char *operation)
{
	uint32_t h = 2166136261U ^ hour;

	/* Whoever makes ids is us: nothing here is chosen by a client. */
	for (const char *c = agent; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * 16777619U;
	for (const char *c = operation; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * 16777619U;
	return h & (IAM_USAGE_PENDING_MAX - 1);
}

/* There is room: it is flushed before it is full. */
static struct iam_usage_row *
row_of(struct iam_usage *usage, const char *agent, uint32_t hour,
    const char *operation)
{
	unsigned i = place_of(agent, hour, operation);
	struct iam_usage_row *row;

	for (;; i = (i + 1) & (IAM_USAGE_PENDING_MAX - 1)) {
		row = &usage->pending[i];
		if (row->agent[0] == '\0')
			break;
		if (row->hour == hour && strcmp(row->agent, agent) == 0 &&
		    strcmp(row->operation, operation) == 0)
			return row;
	}
	memcpy(row->agent, agent, ID_LEN + 1);
	memcpy(row->operation, operation, strlen(operation) + 1);
	row->hour = hour;
	usage->used++;
	return row;
}

ag_err
iam_usage_event(struct iam_usage *usage, struct ag_ctx *ctx,
    const Ag__Event *event)
{
	static const enum iam_usage_count counts[] = {
		[AG__OUTCOME_KIND__V__allowed] = IAM_U_ALLOWED,
		[AG__OUTCOME_KIND__V__denied] = IAM_U_DENIED,
		[AG__OUTCOME_KIND__V__failed] = IAM_U_FAILED,
		[AG__OUTCOME_KIND__V__unknown] = IAM_U_UNKNOWN,
	};
	bool late = event->event_type == AG__EVENT_TYPE__V__outcome_late;
	struct iam_usage_row *row;
	ag_err err;

	if (!ag_id_valid(event->actor->id, "agt") || event->occurred_at < 0 ||
	    strlen(event->operation) >= IAM_USAGE_OPERATION)
		return AG_OK;
	if (usage->used > IAM_USAGE_PENDING_MAX / 2 &&
	    (err = iam_usage_flush(usage, ctx)) != AG_OK)
		return err;
	row = row_of(usage, event->actor->id,
	    (uint32_t)(event->occurred_at / HOUR_MS), event->operation);
	row->counts[late ? IAM_U_LATE : counts[event->outcome]]++;
	if (event->outcome == AG__OUTCOME_KIND__V__allowed)
		row->counts[IAM_U_ITEMS] += event->has_items ? event->items : 1;
	return AG_OK;
}

static size_t
key_of(const struct iam_usage_row *row, uint8_t key[IAM_USAGE_KEY_MAX])
{
	size_t len = strlen(row->operation);

	memcpy(key, row->agent, ID_LEN);
	ag_put_be32(key + ID_LEN, row->hour);
	memcpy(key + HEAD_LEN, row->operation, len);
	return HEAD_LEN + len;
}

static ag_err
keep(struct ag_ctx *ctx, const struct iam_usage_row *row)
{
	uint64_t counts[IAM_U_COUNTS] = { 0 };
	uint8_t key[IAM_USAGE_KEY_MAX];
	size_t key_len = key_of(row, key), len;
	const uint8_t *value;
	ag_err err = ag_store_get(ctx, IAM_T_USAGE, key, key_len, &value, &len);

	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		return err;
	if (err == AG_OK && len != sizeof(counts))
		return AG_CORRUPT;
	if (err == AG_OK)
		memcpy(counts, value, sizeof(counts));
	for (unsigned i = 0; i < IAM_U_COUNTS; i++)
		counts[i] += row->counts[i];
	return ag_store_put(ctx, IAM_T_USAGE, key, key_len, counts,
	    sizeof(counts));
}

ag_err
iam_usage_flush(struct iam_usage *usage, struct ag_ctx *ctx)
{
	ag_err err;

	for (unsigned i = 0; usage->used > 0 && i < IAM_USAGE_PENDING_MAX; i++) {
		struct iam_usage_row *row = &usage->pending[i];

		if (row->agent[0] == '\0')
			continue;
		if ((err = keep(ctx, row)) != AG_OK)
			return err;
		memset(row, 0, sizeof(*row));
		usage->used--;
	}
	return AG_OK;
}

/* ------------------------------------------------------------------ the past */

struct sweep {
	struct iam_usage *usage;
	uint32_t before; /* hour */
	uint8_t keys[SWEEP_MAX][IAM_USAGE_KEY_MAX];
	size_t lens[SWEEP_MAX];
	unsigned count, visits;
	bool more;
};

static bool
sweep_visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct sweep *s = arg;

	(void)value;
	(void)value_len;
	if (key_len > IAM_USAGE_KEY_MAX || key_len <= HEAD_LEN)
		return true;
	if (s->visits++ == SWEEP_VISITS || s->count == SWEEP_MAX) {
		memcpy(s->usage->sweep_at, key, key_len);
		s->usage->sweep_len = key_len;
		s->more = true;
		return false;
	}
	if (ag_get_be32(key + ID_LEN) < s->before) {
		memcpy(s->keys[s->count], key, key_len);
		s->lens[s->count++] = key_len;
	}
	return true;
}

void
iam_usage_sweep(struct iam_usage *usage, struct ag_ctx *ctx)
{
	struct sweep *s = ag_alloc(ctx, sizeof(*s));
	int64_t before = ag_now_ms(ctx) - usage->kept_ms;
	ag_err err;

	if (s == NULL || before < 0)
		return;
	s->usage = usage;
	s->before = (uint32_t)(before / HOUR_MS);
	err = ag_store_scan(ctx, IAM_T_USAGE, usage->sweep_at, usage->sweep_len,
	    sweep_visit, s);
	for (unsigned i = 0; err == AG_OK && i < s->count; i++)
		err = ag_store_del(ctx, IAM_T_USAGE, s->keys[i], s->lens[i]);
	if (err != AG_OK)
		ag_log(ctx, AG_WARN, "USAGE-SWEEP", "err=%s",
		    ag_err_row(err)->name);
	if (err != AG_OK || !s->more)
		usage->sweep_len = 0; /* from the start */
}

/* ------------------------------------------------------------------- asking */

struct page {
	struct ag_ctx *ctx;
	const char *agent;
	const Ag__AgentUsageAsk *ask;
	uint32_t until; /* hour; not itself */
	struct ag_page page;
	unsigned visits;
	Ag__AgentUsageReply *reply;
	uint8_t last[IAM_USAGE_KEY_MAX]; /* looked at */
	size_t last_len;
	bool more;
	ag_err err;
};

static Ag__AgentUsage *
row_view(struct ag_ctx *ctx, const uint8_t *key, size_t key_len,
    const uint8_t *value)
{
	Ag__AgentUsage *view = ag_alloc(ctx, sizeof(*view));
	uint64_t counts[IAM_U_COUNTS];

	if (view == NULL)
		return NULL;
	ag__agent_usage__init(view);
	memcpy(counts, value, sizeof(counts));
	view->hour_at = ag_get_be32(key + ID_LEN) * (int64_t)HOUR_MS;
	view->operation = ag_printf(ctx, "%.*s", (int)(key_len - HEAD_LEN),
	    (const char *)key + HEAD_LEN);
	view->allowed = counts[IAM_U_ALLOWED];
	view->denied = counts[IAM_U_DENIED];
	view->failed = counts[IAM_U_FAILED];
	view->unknown = counts[IAM_U_UNKNOWN];
	view->late = counts[IAM_U_LATE];
	view->items = counts[IAM_U_ITEMS];
	return view->operation == NULL ? NULL : view;
}

static bool
is_wanted(const struct page *p, const uint8_t *key, size_t key_len)
{
	const char *operation = p->ask->operation;
	size_t len = operation == NULL ? 0 : strlen(operation);

	return operation == NULL || (key_len - HEAD_LEN == len &&
	    memcmp(key + HEAD_LEN, operation, len) == 0);
}

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct page *p = arg;
	Ag__AgentUsage *view;

	if (key_len <= HEAD_LEN || key_len > IAM_USAGE_KEY_MAX ||
	    value_len != IAM_U_COUNTS * sizeof(uint64_t)) {
		p->err = AG_CORRUPT;
		return false;
	}
	if (memcmp(key, p->agent, ID_LEN) != 0 ||
	    ag_get_be32(key + ID_LEN) >= p->until)
		return false;
	if (key_len == p->page.place_len &&
	    memcmp(key, p->page.place, key_len) == 0)
		return true;
	if (p->reply->n_items == p->page.limit || p->visits++ == VISITS_MAX) {
		p->more = true;
		return false;
	}
	memcpy(p->last, key, key_len);
	p->last_len = key_len;
	if (!is_wanted(p, key, key_len))
		return true;
	if ((view = row_view(p->ctx, key, key_len, value)) == NULL) {
		p->err = AG_NO_MEMORY;
		return false;
	}
	p->reply->items[p->reply->n_items++] = view;
	return true;
}

/* The hour in which this is, within what a row can say. */
static uint32_t
hour_of(int64_t at_ms)
{
	int64_t hour = at_ms / HOUR_MS;

	return hour < 0 ? 0 : hour > UINT32_MAX ? UINT32_MAX : (uint32_t)hour;
}

static ag_err
page_read(struct page *p)
{
	uint8_t from[HEAD_LEN];
	ag_err err;

	memcpy(from, p->agent, ID_LEN);
	ag_put_be32(from + ID_LEN, p->ask->has_since ?
	    hour_of(p->ask->since) : 0);
	err = p->page.place_len > 0 ? ag_store_scan(p->ctx, IAM_T_USAGE,
	    p->page.place, p->page.place_len, visit, p) :
	    ag_store_scan(p->ctx, IAM_T_USAGE, from, sizeof(from), visit, p);
	return err != AG_OK ? err : p->err;
}

ag_err
iam_on_agent_usage(void *state, struct ag_ctx *ctx, const void *msg)
{
	static const struct iam_noun noun = { iam_agent_find, "agent" };
	Ag__AgentUsageReply reply = AG__AGENT_USAGE_REPLY__INIT;
	const Ag__AgentUsageAsk *ask = msg;
	struct page p = { .ctx = ctx, .ask = ask, .reply = &reply };
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&noun, state, ctx, &caller, false, &node);

	if (err != AG_OK || (err = ag_page_read(ctx, ask, &p.page)) != AG_OK)
		return err;
	p.agent = node->id;
	/* An hour that has begun by then is in it. */
	p.until = ask->has_until ? hour_of(ask->until + HOUR_MS - 1) :
	    UINT32_MAX;
	reply.agent_id = node->id;
	reply.items = iam_array(ctx, p.page.limit);
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	if ((err = page_read(&p)) != AG_OK)
		return err;
	if (p.more)
		reply.next_cursor = ag_page_cursor(ctx, &p.page, p.last,
		    p.last_len);
	return ag_reply(ctx, AG_MSG_AGENT_USAGE, &reply);
}
