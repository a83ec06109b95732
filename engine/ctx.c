/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context's making and unmaking, and its plain services: fleet, time,
 * arena, log, metrics, files.
 */
#include "ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct ag_metric_row engine_metrics[EM_COUNT] = {
	[EM_IN] = { "messages_in_total", "Messages received", AG_COUNTER },
	[EM_OUT] = { "messages_out_total", "Messages sent", AG_COUNTER },
	[EM_REFUSED] = { "refused_total", "Messages answered with an error", AG_COUNTER },
	[EM_MALFORMED] = { "malformed_total", "Messages that could not be read", AG_COUNTER },
	[EM_TIMEOUTS] = { "ask_timeouts_total", "Asks without an answer in time", AG_COUNTER },
	[EM_EXPIRED] = { "expired_total", "Messages past their deadline, not worked on", AG_COUNTER },
	[EM_FULL] = { "dropped_total", "Messages dropped because something was full", AG_COUNTER },
	[EM_STASHED] = { "stashed_total", "Messages that waited for their stream", AG_COUNTER },
	[EM_ASKS] = { "asks_total", "Asks sent", AG_COUNTER },
	[EM_COMMITS] = { "store_commits_total", "Commits of the store", AG_COUNTER },
};

/* ---------------------------------------------------------------- making */

static ag_err
init_fleet(struct ag_ctx *ctx)
{
	for (size_t i = 0; i < ctx->boot->n_rows; i++) {
		const Ag__BootRow *row = ctx->boot->rows[i];
		struct slot *slot;

		if (row->slot >= AG_SLOTS_MAX)
			return AG_USAGE;
		slot = &ctx->slots[row->slot];
		snprintf(slot->name, sizeof(slot->name), "%s", row->name);
		slot->role = ag_role_named(row->role);
		if (row->slot >= ctx->slot_count)
			ctx->slot_count = row->slot + 1;
	}
	ctx->self = ctx->boot->self->slot;
	ctx->index = ctx->boot->has_index ? ctx->boot->index : 0;
	if (ctx->self >= AG_SLOTS_MAX)
		return AG_USAGE;
	if (ctx->slots[ctx->self].role == AG_ROLE_NONE) { /* a guest */
		struct slot *slot = &ctx->slots[ctx->self];

		snprintf(slot->name, sizeof(slot->name), "%s",
		    ctx->boot->self->name);
		slot->role = ag_role_named(ctx->boot->self->role);
		if (ctx->self >= ctx->slot_count)
			ctx->slot_count = ctx->self + 1;
	}
	return AG_OK;
}

static ag_err
take_master_lock(struct ag_ctx *ctx)
{
	const ProtobufCBinaryData *given = &ctx->boot->master_lock;
	ag_err err = AG_BAD_MESSAGE;

	if (given->len == AG_MASTER_KDF_BYTES + AG_MASTER_BYTES) {
		memcpy(ctx->master_lock.kdf, given->data, AG_MASTER_KDF_BYTES);
		err = ag_secret_copy(given->data + AG_MASTER_KDF_BYTES,
		    AG_MASTER_BYTES, &ctx->master_lock.key);
	}
	ag_wipe(given->data, given->len);
	return err;
}

const struct ag_master_lock *
ag_master_lock(struct ag_ctx *ctx)
{
	return &ctx->master_lock;
}

static ag_err
init_secrets(struct ag_ctx *ctx)
{
	struct ag_secret *sk = NULL;
	ag_err err = ag_seal_boot(ctx->seal_pk, &sk);

	if (err == AG_OK)
		err = ag_sealer_new(sk, &ctx->sealer);
	ag_secret_free(&sk);
	if (err == AG_OK && ctx->boot->has_mac_key) {
		err = ag_mac_new(ctx->boot->mac_key.data,
		    ctx->boot->mac_key.len, &ctx->mac);
		ag_wipe(ctx->boot->mac_key.data, ctx->boot->mac_key.len);
		if (err == AG_OK)
			err = ag_page_key(ctx);
	}
	if (err == AG_OK && ctx->boot->has_master_lock)
		err = take_master_lock(ctx);
	ag_random(&ctx->boot_id, sizeof(ctx->boot_id));
	ctx->boot_id >>= 1; /* printable as a signed number everywhere */
	return err;
}

static ag_err
init_metrics(struct ag_ctx *ctx)
{
	const struct ag_actor *actor = ctx->actor;
	ag_err err = ag_metrics_create(ctx->boot->run_dir,
	    ctx->boot->self->name, ctx->boot->self->role, &ctx->metrics);

	if (err != AG_OK)
		return err;
	for (unsigned i = 0; i < EM_COUNT; i++)
		ag_metrics_define(ctx->metrics, engine_metrics[i].name,
		    engine_metrics[i].help, engine_metrics[i].kind);
	ctx->metric_base = EM_COUNT;
	for (size_t i = 0; i < actor->metric_count; i++)
		ag_metrics_define(ctx->metrics, actor->metrics[i].name,
		    actor->metrics[i].help, actor->metrics[i].kind);
	return AG_OK;
}

static ag_err
check_actor(const struct ag_actor *actor)
{
	if (actor->name == NULL || actor->init == NULL ||
	    (actor->follow != AG_FOLLOW_NONE && actor->apply == NULL))
		ag_panic("actor %s lacks a required hook",
		    actor->name == NULL ? "?" : actor->name);
	return AG_OK;
}

/* Twice at most: the second time from an empty snapshot. */
static ag_err
init_state(struct ag_ctx *ctx)
{
	const struct ag_actor *actor = ctx->actor;
	size_t size = actor->state_size == 0 ? 1 : actor->state_size;
	ag_err err;

	ctx->state = calloc(1, size);
	if (ctx->state == NULL)
		return AG_NO_MEMORY;
	/* What other nodes append to a journal of several must be heard, too. */
	ctx->live = actor->follow == AG_FOLLOW_LIVE ||
	    (actor->follow == AG_FOLLOW_START && strcmp("postgres",
	        ag_config_get_str(ctx->config, "journal.kind", 0)) == 0);
	err = actor->init(ctx->state, ctx);
	if (err != AG_CORRUPT || ctx->db == NULL || actor->store_dir != NULL)
		return err;
	ctx->stopping = false;
	ctx->exit_status = 0;
	if (actor->fini != NULL)
		actor->fini(ctx->state, ctx);
	memset(ctx->state, 0, size);
	if ((err = snapshot_discard(ctx)) != AG_OK)
		return err;
	return actor->init(ctx->state, ctx);
}

static int64_t
machine_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* A guest's file is older than the fleet: it begins with its own start. */
static void
clock_start(struct ag_ctx *ctx)
{
	const Ag__Boot *boot = ctx->boot;

	ctx->clock = (struct ag_clock){
		ctx->manual_clock ? ctx->manual_wall_ms : machine_ms(),
		ag_mono_ms(ctx) };
	if (boot != NULL && boot->has_clock_wall_ms && boot->has_clock_mono_ms &&
	    boot->clock_mono_ms <= ctx->clock.mono_ms)
		ctx->clock = (struct ag_clock){ boot->clock_wall_ms,
			boot->clock_mono_ms };
}

ag_err
ctx_init(struct ag_ctx *ctx, const struct ag_actor *actor, Ag__Boot *boot)
{
	ag_err err = check_actor(actor);

	ctx->actor = actor;
	ctx->boot = boot;
	ctx->marks_pending = true;
	ctx->stale_at_ms = UINT64_MAX;
	clock_start(ctx);
	ag__refusal__init(&ctx->status_refusal);
	if (err == AG_OK)
		err = ag_arena_new(AG_ARENA_BYTES_MAX, &ctx->arena);
	if (err == AG_OK)
		err = init_fleet(ctx);
	if (err == AG_OK)
		err = ag_config_unpack(boot->config, &ctx->config);
	if (err == AG_OK)
		err = init_secrets(ctx);
	if (err == AG_OK)
		err = init_metrics(ctx);
	if (err == AG_OK)
		err = snapshot_open(ctx);
	if (err != AG_OK)
		return err;
	ctx->credit_requests = boot->has_credit_requests ?
	    boot->credit_requests : 0;
	ctx->credit_bytes = boot->has_credit_bytes ? boot->credit_bytes : 0;
	return init_state(ctx);
}

static void
free_frames(struct out_frame *frame)
{
	while (frame != NULL) {
		struct out_frame *next = frame->next;

		free(frame->bytes);
		free(frame);
		frame = next;
	}
}

void
ctx_fini(struct ag_ctx *ctx)
{
	if (ctx->state != NULL && ctx->actor->fini != NULL)
		ctx->actor->fini(ctx->state, ctx);
	work_stop(ctx);
	ask_drop_all(ctx);
	timer_drop_all(ctx);
	lock_drop_all(ctx);
	trip_drop_all(ctx);
	for (unsigned i = 0; i <= AG_SLOTS_MAX; i++)
		free_frames(ctx->out[i]);
	free_frames(ctx->frame_pool);
	ag_db_close(&ctx->db);
	ag_metrics_close(&ctx->metrics);
	ag_sealer_free(&ctx->sealer);
	ag_mac_free(&ctx->mac);
	ag_wipe(ctx->cursor_key, sizeof(ctx->cursor_key));
	ag_config_free(&ctx->config);
	ag_arena_free(&ctx->arena);
	if (ctx->boot != NULL)
		ag__boot__free_unpacked(ctx->boot, NULL);
	ag_master_lock_free(&ctx->master_lock);
	free(ctx->state);
}

/* ----------------------------------------------------------------- fleet */

unsigned
ag_self(struct ag_ctx *ctx)
{
	return ctx->self;
}

unsigned
ag_index(struct ag_ctx *ctx)
{
	return ctx->index;
}

unsigned
ag_slot(struct ag_ctx *ctx, enum ag_role role, unsigned i)
{
	for (unsigned slot = 0; slot < ctx->slot_count; slot++)
		if (ctx->slots[slot].role == role && i-- == 0)
			return slot;
	return AG_SLOT_NONE;
}

unsigned
ag_slot_named(struct ag_ctx *ctx, const char *name)
{
	for (unsigned slot = 0; slot < ctx->slot_count; slot++)
		if (strcmp(ctx->slots[slot].name, name) == 0)
			return slot;
	return AG_SLOT_NONE;
}

unsigned
ag_slot_count(struct ag_ctx *ctx, enum ag_role role)
{
	unsigned count = 0;

	for (unsigned slot = 0; slot < ctx->slot_count; slot++)
		count += ctx->slots[slot].role == role;
	return count;
}

const char *
ag_slot_name(struct ag_ctx *ctx, unsigned slot)
{
	if (slot == AG_SLOT_BROKER)
		return "broker";
	return slot < AG_SLOTS_MAX && ctx->slots[slot].name[0] != '\0' ?
	    ctx->slots[slot].name : "nobody";
}

enum ag_role
ag_slot_role(struct ag_ctx *ctx, unsigned slot)
{
	return slot < AG_SLOTS_MAX ? ctx->slots[slot].role : AG_ROLE_NONE;
}

bool
ag_slot_up(struct ag_ctx *ctx, unsigned slot)
{
	return slot == ctx->self || (slot < AG_SLOTS_MAX && ctx->slots[slot].up);
}

unsigned
ag_shard(struct ag_ctx *ctx, enum ag_role role, const char *id)
{
	unsigned count = ag_slot_count(ctx, role);
	uint64_t h = 1469598103934665603u; /* FNV-1a 64: stable across versions */

	if (count == 0)
		return AG_SLOT_NONE;
	for (; *id != '\0'; id++)
		h = (h ^ (uint8_t)*id) * 1099511628211u;
	return ag_slot(ctx, role, (unsigned)((h >> 32) % count));
}

uint64_t
ag_boot(struct ag_ctx *ctx)
{
	return ctx->boot_id;
}

const char *
ag_state_dir(struct ag_ctx *ctx)
{
	return ctx->boot->state_dir;
}

const char *
ag_state_path(struct ag_ctx *ctx, const char *given)
{
	if (given == NULL || given[0] == '/')
		return given;
	return ag_printf(ctx, "%s/%s", ag_state_dir(ctx), given);
}

const char *
ag_run_dir(struct ag_ctx *ctx)
{
	return ctx->boot->run_dir;
}

bool
ag_is_dev(struct ag_ctx *ctx)
{
	return strcmp(ag_config_str(ctx, "environment", 0), "dev") == 0;
}

bool
ag_dev_identity(struct ag_ctx *ctx)
{
	return ctx->boot->dev_identity && ag_is_dev(ctx);
}

const struct ag_config *
ag_config(struct ag_ctx *ctx)
{
	return ctx->config;
}

bool
ag_credit_take(struct ag_ctx *ctx, size_t bytes)
{
	if (ctx->credit_requests == 0 || ctx->credit_bytes < bytes)
		return false;
	ctx->credit_requests--;
	ctx->credit_bytes -= bytes;
	return true;
}

void
ag_credit_give(struct ag_ctx *ctx, size_t bytes)
{
	ctx->credit_requests++;
	ctx->credit_bytes += bytes;
}

/* ------------------------------------------------------------------ time */

int64_t
ag_now_ms(struct ag_ctx *ctx)
{
	if (ctx->manual_clock)
		return ctx->manual_wall_ms;
	return ag_clock_held(&ctx->clock, machine_ms(), ag_mono_ms(ctx)) +
	    ctx->wall_offset_ms;
}

int64_t
ag_clock_jump_ms(struct ag_ctx *ctx)
{
	return ag_clock_jump(&ctx->clock,
	    ctx->manual_clock ? ctx->manual_wall_ms : machine_ms(),
	    ag_mono_ms(ctx));
}

uint64_t
ag_mono_us(struct ag_ctx *ctx)
{
	struct timespec ts;

	if (ctx->manual_clock)
		return ctx->manual_mono_us;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
ag_mono_ms(struct ag_ctx *ctx)
{
	return ag_mono_us(ctx) / 1000;
}

void
ag_id_new(struct ag_ctx *ctx, const char *prefix, char out[AG_ID_SIZE])
{
	ag_id_make(prefix, ag_now_ms(ctx), out);
}

/* ----------------------------------------------------------------- arena */

void *
ag_alloc(struct ag_ctx *ctx, size_t size)
{
	return ag_arena_alloc(ctx->arena, size == 0 ? 1 : size);
}

char *
ag_strdup(struct ag_ctx *ctx, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = ag_alloc(ctx, size);

	if (copy != NULL)
		memcpy(copy, s, size);
	return copy;
}

char *
ag_printf(struct ag_ctx *ctx, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0 || (text = ag_alloc(ctx, (size_t)len + 1)) == NULL)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

void *
ag_unpack(struct ag_ctx *ctx, const ProtobufCMessageDescriptor *d,
    const uint8_t *bytes, size_t len)
{
	return protobuf_c_message_unpack(d, ag_arena_allocator(ctx->arena), len,
	    bytes);
}

uint8_t *
ag_pack(struct ag_ctx *ctx, const void *msg, size_t *len)
{
	uint8_t *bytes;

	*len = protobuf_c_message_get_packed_size(msg);
	bytes = ag_alloc(ctx, *len);
	if (bytes != NULL)
		protobuf_c_message_pack(msg, bytes);
	return bytes;
}

/* ------------------------------------------------------------ log, metrics */

void
ag_log(struct ag_ctx *ctx, enum ag_level level, const char *event,
    const char *fmt, ...)
{
	const uint8_t *id = NULL;
	va_list ap;

	if (ctx->trip != NULL && ctx->trip->grant != NULL)
		id = ctx->trip->grant->request_id.data;
	else if (ctx->trip != NULL && ctx->trip->env != NULL &&
	    ctx->trip->env->request != NULL &&
	    ctx->trip->env->request->request_id.len == AG_UUID_BYTES)
		id = ctx->trip->env->request->request_id.data;
	va_start(ap, fmt);
	ag_log_line(level, event, id, fmt, ap);
	va_end(ap);
}

void
ag_em_add(struct ag_ctx *ctx, enum engine_metric m, uint64_t n)
{
	ctx->metrics->metrics[m].value += n;
}

static struct ag_metric *
metric_at(struct ag_ctx *ctx, unsigned metric)
{
	if (metric >= ctx->actor->metric_count)
		ag_panic("actor %s has no metric %u", ctx->actor->name, metric);
	return &ctx->metrics->metrics[ctx->metric_base + metric];
}

void
ag_metric_add(struct ag_ctx *ctx, unsigned metric, uint64_t n)
{
	metric_at(ctx, metric)->value += n;
}

void
ag_metric_add_for(struct ag_ctx *ctx, unsigned metric, const char *tenant,
    uint64_t n)
{
	unsigned base = (unsigned)(metric_at(ctx, metric) - ctx->metrics->metrics);

	ctx->metrics->metrics[ag_metrics_of_tenant(ctx->metrics, base,
	    tenant)].value += n;
}

void
ag_metric_set(struct ag_ctx *ctx, unsigned metric, uint64_t v)
{
	metric_at(ctx, metric)->value = v;
}

void
ag_metric_observe_us(struct ag_ctx *ctx, unsigned metric, uint64_t us)
{
	ag_metrics_observe(metric_at(ctx, metric), us);
}

void
ag_tell(struct ag_ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ctx->said, sizeof(ctx->said), fmt, ap);
	va_end(ap);
	if (ctx->supervised && ag_boot_tell(AG_BOOT_FD, ctx->said) != AG_OK)
		ag_log(ctx, AG_WARN, "UNTOLD", "the supervisor does not listen");
}

void
ag_set_degraded(struct ag_ctx *ctx, const char *detail)
{
	if (ctx->metrics->ready != 0)
		snprintf(ctx->metrics->detail, sizeof(ctx->metrics->detail), "%s",
		    detail == NULL ? "" : detail);
}

void
ag_note_error(struct ag_ctx *ctx, const char *text)
{
	snprintf(ctx->metrics->error, sizeof(ctx->metrics->error), "%s", text);
	ctx->metrics->error_at_ms = (uint64_t)ag_now_ms(ctx);
}

void
ag_set_ready(struct ag_ctx *ctx, bool ready, const char *detail)
{
	bool was = ctx->ready;

	snprintf(ctx->metrics->detail, sizeof(ctx->metrics->detail), "%s",
	    detail == NULL ? "" : detail);
	ctx->ready = ready;
	ctx->metrics->ready = ready;
	if (!ready || was)
		return;
	if (ctx->supervised && ag_boot_tell(AG_BOOT_FD, "ready") != AG_OK)
		ag_log(ctx, AG_INFO, "READY-UNTOLD", "nobody listens");
	follow_start(ctx);
}

/* --------------------------------------------------------------- sealing */

const uint8_t *
ag_seal_key(struct ag_ctx *ctx)
{
	return ctx->seal_pk;
}

ag_err
ag_seal(struct ag_ctx *ctx, const uint8_t to[AG_SEAL_KEY_BYTES],
    const void *plain, size_t len, Ag__Sealed *out)
{
	uint8_t *nonce = ag_alloc(ctx, AG_SEAL_NONCE_BYTES);
	uint8_t *box = ag_alloc(ctx, len + AG_SEAL_TAG_BYTES);

	if (nonce == NULL || box == NULL)
		return AG_NO_MEMORY;
	ag__sealed__init(out);
	out->sender.data = ctx->seal_pk;
	out->sender.len = AG_SEAL_KEY_BYTES;
	out->nonce.data = nonce;
	out->nonce.len = AG_SEAL_NONCE_BYTES;
	out->box.data = box;
	out->box.len = len + AG_SEAL_TAG_BYTES;
	return ag_seal_raw(ctx->sealer, to, plain, len, nonce, box);
}

static bool
well_formed(const Ag__Sealed *sealed)
{
	return sealed->sender.len == AG_SEAL_KEY_BYTES &&
	    sealed->nonce.len == AG_SEAL_NONCE_BYTES &&
	    sealed->box.len >= AG_SEAL_TAG_BYTES;
}

ag_err
ag_unseal_answer(struct ag_ctx *ctx, const Ag__Sealed *sealed,
    const uint8_t **plain, size_t *len)
{
	uint8_t *out;

	if (!well_formed(sealed))
		return AG_BAD_MESSAGE;
	*len = sealed->box.len - AG_SEAL_TAG_BYTES;
	if ((*plain = out = ag_alloc(ctx, *len)) == NULL)
		return AG_NO_MEMORY;
	return ag_unseal_into(ctx->sealer, sealed->sender.data,
	    sealed->nonce.data, sealed->box.data, sealed->box.len, out);
}

ag_err
ag_unseal(struct ag_ctx *ctx, const Ag__Sealed *sealed, struct ag_secret **out)
{
	if (!well_formed(sealed))
		return AG_BAD_MESSAGE;
	return ag_unseal_raw(ctx->sealer, sealed->sender.data,
	    sealed->nonce.data, sealed->box.data, sealed->box.len, out);
}

/* ----------------------------------------------------------------- files */

static bool
write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static ag_err
sync_dir_of(const char *path)
{
	char dir[1024];
	char *slash;
	int fd;
	bool ok;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return AG_IO;
	*slash = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return AG_IO;
	ok = fsync(fd) == 0;
	close(fd);
	return ok ? AG_OK : AG_IO;
}

ag_err
ag_file_put(struct ag_ctx *ctx, const char *name, const void *bytes, size_t len,
    unsigned mode)
{
	char path[1024], temporary[1040];
	bool ok;
	int fd;

	if (name[0] == '/' || strstr(name, "..") != NULL)
		return AG_USAGE;
	snprintf(path, sizeof(path), "%s/%s", ctx->boot->state_dir, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return AG_IO;
	ok = write_all(fd, bytes, len) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (!ok || rename(temporary, path) != 0) {
		unlink(temporary);
		return AG_IO;
	}
	return sync_dir_of(path);
}
