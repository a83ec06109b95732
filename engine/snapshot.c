/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An actor's store: its snapshot, or (the journal's) the truth itself. A
 * snapshot carries the positions in both logs up to which it holds; one that
 * cannot be trusted is thrown away and rebuilt from them.
 */
#include "ctx.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { STORE_MAP_BYTES_SHIFT = 36 }; /* 64 GiB of address space, not of disk */

static ag_err
read_positions(struct ag_ctx *ctx)
{
	ag_err err = ag_db_number(ctx->db, "journal_pos", &ctx->journal_pos);

	if (err == AG_OK)
		err = ag_db_number(ctx->db, "audit_pos", &ctx->audit_pos);
	return err;
}

static void
store_path(struct ag_ctx *ctx, const char *file, char *out, size_t size)
{
	if (ctx->actor->store_dir != NULL)
		snprintf(out, size, "%s/%s%s", ctx->boot->state_dir,
		    ctx->actor->store_dir, file);
	else
		snprintf(out, size, "%s/snapshots/%s%s", ctx->boot->state_dir,
		    ctx->boot->self->name, file);
}

static bool
has_store(const struct ag_actor *actor)
{
	return actor->tables != NULL || actor->on_audit != NULL ||
	    actor->follow != AG_FOLLOW_NONE;
}

static ag_err
open_store(struct ag_ctx *ctx)
{
	static const char *const none[] = { NULL };
	const char *const *tables = ctx->actor->tables != NULL ?
	    ctx->actor->tables : none;
	char dir[512];
	ag_err err;

	store_path(ctx, "", dir, sizeof(dir));
	err = ag_db_open(dir, tables, (size_t)1 << STORE_MAP_BYTES_SHIFT,
	    &ctx->db);
	return err == AG_OK ? read_positions(ctx) : err;
}

/* A snapshot that cannot be trusted is thrown away: the logs rebuild it. */
ag_err
snapshot_discard(struct ag_ctx *ctx)
{
	char dir[512];
	ag_err err;

	store_path(ctx, "", dir, sizeof(dir));
	ag_log_plain(AG_WARN, "SNAPSHOT-DISCARDED", "dir=%s", dir);
	ag_db_close(&ctx->db);
	ctx->journal_pos = ctx->audit_pos = 0;
	if ((err = ag_db_wipe(dir)) != AG_OK)
		return err;
	store_path(ctx, ".bad", dir, sizeof(dir));
	unlink(dir);
	return open_store(ctx);
}

/* With another number of shards this row owns other things than before. */
static bool
other_share(struct ag_ctx *ctx)
{
	uint64_t shards = 0;

	return ag_db_number(ctx->db, "shards", &shards) == AG_OK &&
	    shards != 0 &&
	    shards != ag_slot_count(ctx, ag_slot_role(ctx, ctx->self));
}

static char bus_mark[512];

/* A file that is shorter than it says, or a disk that does not read: the pages
 * are mapped, so it comes as a signal. Marked, and then we end by it. */
static void
on_bus_error(int sig)
{
	int fd = open(bus_mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)sig;
	(void)fd;
}

static void
watch_mapping(const char *mark)
{
	struct sigaction act = { .sa_handler = on_bus_error,
		.sa_flags = (int)SA_RESETHAND };

	snprintf(bus_mark, sizeof(bus_mark), "%s", mark);
	sigemptyset(&act.sa_mask);
	sigaction(SIGBUS, &act, NULL);
}

ag_err
snapshot_open(struct ag_ctx *ctx)
{
	char mark[512];
	ag_err err;

	if (!has_store(ctx->actor))
		return AG_OK;
	store_path(ctx, ".bad", mark, sizeof(mark));
	if (ctx->actor->store_dir != NULL)
		return open_store(ctx);
	if (ctx->kit == NULL)
		watch_mapping(mark);
	/* A marked one is not even looked into. */
	err = access(mark, F_OK) == 0 ? AG_CORRUPT : open_store(ctx);
	if (err == AG_CORRUPT || (err == AG_OK && other_share(ctx)))
		err = snapshot_discard(ctx);
	return err == AG_OK ? ag_db_set_number(ctx->db, "shards",
	    ag_slot_count(ctx, ag_slot_role(ctx, ctx->self))) : err;
}

/*
 * A value that is not what was written, met while running. What is truth ends
 * the process for a person to look at; a snapshot is marked, and the next
 * start rebuilds it.
 */
static ag_err
met_corruption(struct ag_ctx *ctx)
{
	char mark[512];
	int fd;

	ag_log(ctx, AG_ERROR, "STORE-CORRUPT", "a stored value has changed");
	if (ctx->actor->store_dir == NULL) {
		store_path(ctx, ".bad", mark, sizeof(mark));
		fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
	}
	ag_stop(ctx, 1);
	return AG_CORRUPT;
}

/* ----------------------------------------------------------------- store */

ag_err
ag_store_put(struct ag_ctx *ctx, unsigned table, const void *key, size_t key_len,
    const void *value, size_t value_len)
{
	return ag_db_put(ctx->db, table, key, key_len, value, value_len);
}

ag_err
ag_store_get(struct ag_ctx *ctx, unsigned table, const void *key, size_t key_len,
    const uint8_t **value, size_t *value_len)
{
	ag_err err = ag_db_get(ctx->db, table, key, key_len, value, value_len);

	return err == AG_CORRUPT ? met_corruption(ctx) : err;
}

ag_err
ag_store_del(struct ag_ctx *ctx, unsigned table, const void *key, size_t key_len)
{
	return ag_db_del(ctx->db, table, key, key_len);
}

ag_err
ag_store_scan(struct ag_ctx *ctx, unsigned table, const void *from,
    size_t from_len, ag_store_visit *visit, void *arg)
{
	ag_err err = ag_db_scan(ctx->db, table, from, from_len, visit, arg);

	return err == AG_CORRUPT ? met_corruption(ctx) : err;
}

ag_err
ag_store_commit(struct ag_ctx *ctx)
{
	uint64_t journal = 0, audit = 0;
	uint64_t cursor = ctx->audit_own ? ctx->audit_done : ctx->audit_pos;
	ag_err err;

	if (ctx->db == NULL)
		return AG_OK;
	if ((err = ag_db_number(ctx->db, "journal_pos", &journal)) != AG_OK ||
	    (err = ag_db_number(ctx->db, "audit_pos", &audit)) != AG_OK)
		return err;
	if (journal != ctx->journal_pos &&
	    (err = ag_db_set_number(ctx->db, "journal_pos",
	        ctx->journal_pos)) != AG_OK)
		return err;
	if (audit != cursor &&
	    (err = ag_db_set_number(ctx->db, "audit_pos", cursor)) != AG_OK)
		return err;
	if (!ag_db_dirty(ctx->db))
		return AG_OK;
	ag_em_add(ctx, EM_COMMITS, 1);
	return ag_db_commit(ctx->db);
}
