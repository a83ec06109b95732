/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retain: the log does not grow for ever, if the configuration says so
 * (audit.retention_s, audit.max_bytes). The oldest segment goes, whole, one at
 * a time:
 *
 *   1. the root of trust signs where every chain stands behind it;
 *   2. that is recorded (CUT) with an event for people, and durable;
 *   3. only then the file is removed.
 *
 * A crash between any two leaves a log that verifies: before 3 the CUT record
 * speaks of a segment that is still preceded by another; it is cut again. Two
 * segments are always kept, for a restart begins with the last but one.
 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TEXT_MAX = 512,
	KEPT_MIN = 2,
	/* An event is recorded a little after it occurred. */
	SLACK_MS = 60000,
};

static void
segment_path(const char *dir, uint64_t first, char out[AG_SEG_PATH_MAX])
{
	snprintf(out, AG_SEG_PATH_MAX, "%s/%016llx.seg", dir,
	    (unsigned long long)first);
}

static uint64_t
file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---------------------------------------------------------------- is it due */

static uint64_t
log_bytes(const struct audit *a, const uint64_t *firsts, size_t count)
{
	char path[AG_SEG_PATH_MAX];
	uint64_t sum;

	snprintf(path, sizeof(path), "%s/spare", a->dir);
	sum = file_bytes(path);
	for (size_t i = 0; i < count; i++) {
		segment_path(a->dir, firsts[i], path);
		sum += file_bytes(path);
	}
	return sum;
}

/* Everything before a segment is older than its first event. */
static bool
expired(struct audit *a, struct ag_ctx *ctx, uint64_t first)
{
	struct ag_seg_record record;

	if (ag_segs_seek(a->retain.segs, first, AG_SEG_HEADER_BYTES, first) !=
	    AG_OK)
		return false;
	do {
		if (ag_segs_next(a->retain.segs, &record) != AG_OK)
			return false;
	} while (record.kind != AG_SEG_EVENT);
	return record.at < ag_now_ms(ctx) - a->retain.keep_ms - SLACK_MS;
}

/* ------------------------------------------------------------------ removing */

struct removal {
	char path[AG_SEG_PATH_MAX], dir[AG_SEG_PATH_MAX];
};

/* On another thread: freeing a large file takes a while. */
static ag_err
remove_work(void *arg)
{
	struct removal *job = arg;
	ag_err err = AG_OK;
	int fd;

	if (unlink(job->path) != 0 && errno != ENOENT)
		return AG_IO;
	fd = open(job->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		err = AG_IO;
	if (fd >= 0)
		close(fd);
	return err;
}

static ag_err
remove_done(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;
	struct removal *job = memo;

	(void)msg;
	a->retain.phase = RETAIN_IDLE;
	if (status != AG_OK)
		ag_log(ctx, AG_ERROR, "AUDIT-NOT-REMOVED", "file=%s", job->path);
	else
		ag_metric_add(ctx, M_CUTS, 1);
	pull_forget(a, a->retain.first);
	free(job);
	return AG_OK;
}

static void
remove_segment(struct audit *a, struct ag_ctx *ctx)
{
	struct removal *job = malloc(sizeof(*job));

	a->retain.phase = RETAIN_IDLE;
	if (job == NULL)
		return; /* the next tick cuts it again */
	segment_path(a->dir, a->retain.oldest, job->path);
	strcpy(job->dir, a->dir);
	if (ag_work(ctx, remove_work, job, remove_done) == AG_PENDING)
		a->retain.phase = RETAIN_REMOVING;
	else
		free(job);
}

/* ----------------------------------------------------------------- recording */

static ag_err
record_event(struct audit *a, struct ag_ctx *ctx)
{
	const char *const names[] = { "first_kept", "removed" };
	Ag__Pair pairs[2], *list[2];
	Ag__Event event;
	char id[AG_ID_SIZE];

	event_own(ctx, &event, id, AG__EVENT_TYPE__V__system, "audit.cut");
	for (unsigned i = 0; i < 2; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)names[i];
		pairs[i].value = ag_printf(ctx, "%llu", (unsigned long long)
		    (i == 0 ? a->retain.first : a->retain.first - a->retain.oldest));
		list[i] = &pairs[i];
	}
	event.params = list;
	event.n_params = 2;
	return chain_append(a, ctx, &event);
}

static ag_err
on_signed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;
	const Ag__RotSignReply *reply = msg;
	Ag__LogCut *cut = a->retain.cut;
	ag_err err = sign_status(a, status, reply);

	(void)memo;
	if (err == AG_OK) {
		cut->key_id = reply->key_id;
		cut->has_signature = true;
		cut->signature = reply->signature;
		err = chain_control(a, AG_SEG_CUT, "", cut->created_at, cut);
		cut->key_id = NULL;
		cut->has_signature = false;
		memset(&cut->signature, 0, sizeof(cut->signature));
	}
	ag__log_cut__free_unpacked(cut, NULL);
	a->retain.cut = NULL;
	/* Durable when this turn has been flushed; removed by a tick after it. */
	a->retain.phase = err == AG_OK ? RETAIN_RECORDED : RETAIN_IDLE;
	if (err == AG_OK && record_event(a, ctx) != AG_OK)
		ag_log(ctx, AG_WARN, "AUDIT-CUT-UNSAID", "first=%llu",
		    (unsigned long long)a->retain.first);
	return AG_OK;
}

struct gathering {
	Ag__LogCut *cut;
	size_t cap;
	bool failed;
};

static Ag__LogChain *
chain_new(const Ag__LogTenant *tenant)
{
	Ag__LogChain *c = malloc(sizeof(*c));
	struct ag_merkle tree;

	if (c == NULL || !ag_seg_tree(tenant, &tree)) {
		free(c);
		return NULL;
	}
	ag__log_chain__init(c);
	c->tenant = strdup(tenant->tenant);
	c->seq = tenant->seq;
	c->hash.data = malloc(AG_HASH_BYTES);
	c->root.data = malloc(AG_HASH_BYTES);
	c->hash.len = c->root.len = AG_HASH_BYTES;
	if (c->tenant == NULL || c->hash.data == NULL || c->root.data == NULL) {
		ag__log_chain__free_unpacked(c, NULL);
		return NULL;
	}
	memcpy(c->hash.data, tenant->hash.data, AG_HASH_BYTES);
	ag_merkle_root(&tree, c->root.data);
	return c;
}

static bool
gather(void *arg, const Ag__LogTenant *tenant)
{
	struct gathering *g = arg;
	Ag__LogChain *c = chain_new(tenant), **p;

	g->failed = true;
	if (c == NULL)
		return false;
	if (g->cut->n_chains == g->cap) {
		g->cap = g->cap == 0 ? 16 : 2 * g->cap;
		p = realloc(g->cut->chains, g->cap * sizeof(*p));
		if (p == NULL) {
			ag__log_chain__free_unpacked(c, NULL);
			return false;
		}
		g->cut->chains = p;
	}
	g->cut->chains[g->cut->n_chains++] = c;
	g->failed = false;
	return true;
}

/* Where every chain stands at the head of the segment; NULL: cannot say. */
static Ag__LogCut *
cut_at(struct audit *a, struct ag_ctx *ctx, uint64_t first)
{
	struct gathering g = { .cut = malloc(sizeof(Ag__LogCut)) };

	if (g.cut == NULL)
		return NULL;
	ag__log_cut__init(g.cut);
	g.cut->segment = first;
	g.cut->created_at = ag_now_ms(ctx);
	if (ag_segs_state(a->retain.segs, first, gather, &g) == AG_OK && !g.failed)
		return g.cut;
	ag__log_cut__free_unpacked(g.cut, NULL);
	return NULL;
}

static void
begin(struct audit *a, struct ag_ctx *ctx, uint64_t oldest, uint64_t first)
{
	Ag__LogCut *cut = cut_at(a, ctx, first);
	char text[TEXT_MAX];
	size_t len;

	if (cut == NULL) {
		ag_log(ctx, AG_ERROR, "AUDIT-UNCUT", "segment=%016llx",
		    (unsigned long long)first);
		return;
	}
	len = ag_seg_cut_text(text, sizeof(text), cut);
	a->retain.cut = cut;
	a->retain.oldest = oldest;
	a->retain.first = first;
	a->retain.phase = RETAIN_SIGNING;
	if (len > 0 && sign_text(ctx, text, len, on_signed) == AG_PENDING)
		return;
	a->retain.phase = RETAIN_IDLE;
	a->retain.cut = NULL;
	ag__log_cut__free_unpacked(cut, NULL);
}

/* --------------------------------------------------------------------- ticks */

void
retain_tick(struct audit *a, struct ag_ctx *ctx)
{
	struct retain *r = &a->retain;
	const uint64_t *firsts;
	size_t count;

	if (r->phase == RETAIN_RECORDED && !ag_seglog_pending(a->log))
		remove_segment(a, ctx);
	if (r->phase != RETAIN_IDLE ||
	    ag_segs_list(r->segs, &firsts, &count) != AG_OK || count == 0)
		return;
	a->first_pos = firsts[0];
	ag_metric_set(ctx, M_FIRST, firsts[0]);
	ag_metric_set(ctx, M_BYTES, log_bytes(a, firsts, count));
	if (count <= KEPT_MIN || !ag_slot_up(ctx, sign_rot(ctx)))
		return;
	if ((r->max_bytes > 0 && log_bytes(a, firsts, count) > r->max_bytes) ||
	    (r->keep_ms > 0 && expired(a, ctx, firsts[1])))
		begin(a, ctx, firsts[0], firsts[1]);
}

ag_err
retain_init(struct audit *a, struct ag_ctx *ctx)
{
	const uint64_t *firsts;
	size_t count;
	ag_err err;

	a->retain.keep_ms = ag_config_int(ctx, "audit.retention_s") * 1000;
	a->retain.max_bytes = (uint64_t)ag_config_int(ctx, "audit.max_bytes");
	if ((err = ag_segs_open(a->dir, &a->retain.segs)) != AG_OK ||
	    (err = ag_segs_list(a->retain.segs, &firsts, &count)) != AG_OK)
		return err;
	a->first_pos = count == 0 ? 1 : firsts[0];
	return AG_OK;
}

void
retain_fini(struct audit *a)
{
	if (a->retain.cut != NULL)
		ag__log_cut__free_unpacked(a->retain.cut, NULL);
	ag_segs_close(&a->retain.segs);
}
