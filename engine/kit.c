/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test kit: the same engine with hands instead of a bus and a clock.
 */
#include "ctx.h"

#include <aegis/kit.h>

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KIT_STREAMS_MAX = 4096, KIT_START_MS = 0 };
static const int64_t kit_epoch_ms = INT64_C(1790000000000); /* 2026-09-21 */

struct sent {
	struct sent *next;
	struct ag_kit_sent public;
	uint8_t *bytes; /* envelope and body */
	Ag__Envelope *env;
	ProtobufCMessage *body;
};

struct stream_version {
	char *name;
	uint64_t version;
};

struct ag_kit {
	struct ag_ctx *ctx;
	struct sent *first, *last, *current;
	char *own_dir; /* removed with the kit */
	uint64_t seq;
	uint64_t n;
	struct stream_version streams[KIT_STREAMS_MAX];
	size_t stream_count;
};

/* ------------------------------------------------------------- the fleet */

struct fleet_row {
	const char *name;
	enum ag_role role;
};
static const struct fleet_row fleet[] = {
#define AG_PROC(name, folder, role, jail, count) { #name, AG_ROLE_##role },
#include "../bin/fleet.def"
#undef AG_PROC
};

static Ag__BootRow *
boot_row(unsigned slot, const char *name, enum ag_role role)
{
	Ag__BootRow *row = calloc(1, sizeof(*row));

	ag__boot_row__init(row);
	row->slot = slot;
	row->name = strdup(name);
	row->role = strdup(ag_role_name(role));
	return row;
}

static void
add_row(Ag__Boot *boot, const char *name, enum ag_role role)
{
	boot->rows = realloc(boot->rows,
	    (boot->n_rows + 1) * sizeof(*boot->rows));
	boot->rows[boot->n_rows] = boot_row((unsigned)boot->n_rows, name, role);
	boot->n_rows++;
}

static bool
is_double(enum ag_role role)
{
	return role == AG_ROLE_KEYS || role == AG_ROLE_PLANE;
}

static void
add_fleet(Ag__Boot *boot, const struct ag_actor *actor)
{
	size_t count = sizeof(fleet) / sizeof(fleet[0]);
	char name[72];

	for (size_t i = 0; i < count; i++) {
		for (unsigned k = 0; k < (is_double(fleet[i].role) ? 2u : 1u);
		    k++) {
			if (is_double(fleet[i].role))
				snprintf(name, sizeof(name), "%s.%u",
				    fleet[i].name, k);
			else
				snprintf(name, sizeof(name), "%s", fleet[i].name);
			if (boot->self == NULL &&
			    strcmp(fleet[i].name, actor->name) == 0)
				boot->self = boot_row((unsigned)boot->n_rows,
				    name, fleet[i].role);
			add_row(boot, name, fleet[i].role);
		}
	}
	add_row(boot, "subscriber", AG_ROLE_SUBSCRIBER);
	if (boot->self == NULL) {
		boot->self = boot_row((unsigned)boot->n_rows, actor->name,
		    AG_ROLE_GUEST);
		add_row(boot, actor->name, AG_ROLE_GUEST);
	}
}

static const struct ag_master_lock *given_lock;

void
ag_kit_master_lock(const struct ag_master_lock *lock)
{
	given_lock = lock;
}

static void
boot_lock(Ag__Boot *boot, const struct ag_master_lock *lock)
{
	boot->has_master_lock = true;
	boot->master_lock.len = AG_MASTER_KDF_BYTES + AG_MASTER_BYTES;
	boot->master_lock.data = malloc(boot->master_lock.len);
	memcpy(boot->master_lock.data, lock->kdf, AG_MASTER_KDF_BYTES);
	memcpy(boot->master_lock.data + AG_MASTER_KDF_BYTES,
	    ag_secret_bytes(lock->key), AG_MASTER_BYTES);
}

static Ag__Boot *
kit_boot(const struct ag_actor *actor, const char *yaml, const char *dir)
{
	Ag__Boot *boot = calloc(1, sizeof(*boot));
	struct ag_config *config = NULL;
	char message[512] = "", run[600];

	ag__boot__init(boot);
	add_fleet(boot, actor);
	if (ag_config_parse("kit", yaml == NULL ? "" : yaml,
	        yaml == NULL ? 0 : strlen(yaml), &config, message,
	        sizeof(message)) != AG_OK)
		ag_panic("kit: %s", message);
	if (ag_config_pack(config, &boot->config) != AG_OK)
		ag_panic("kit: no memory");
	ag_config_free(&config);
	snprintf(run, sizeof(run), "%s/run", dir);
	mkdir(run, 0700);
	boot->state_dir = strdup(dir);
	boot->run_dir = strdup(run);
	boot->jail = strdup("PURE");
	boot->has_mac_key = true;
	boot->mac_key.len = 32;
	boot->mac_key.data = malloc(32);
	memset(boot->mac_key.data, 7, 32);
	if (given_lock != NULL)
		boot_lock(boot, given_lock);
	boot->has_credit_requests = boot->has_credit_bytes = true;
	boot->credit_requests = 4096;
	boot->credit_bytes = 64 << 20;
	return boot;
}

static void
settle(struct ag_kit *kit)
{
	trip_run_queue(kit->ctx);
	while (kit->ctx->turned || kit->ctx->run_first != NULL) {
		kit->ctx->turned = true;
		run_turn_end(kit->ctx);
		trip_run_queue(kit->ctx);
	}
}

struct ag_kit *
ag_kit_new(const struct ag_actor *actor, const char *config,
    const char *state_dir)
{
	struct ag_kit *kit = calloc(1, sizeof(*kit));
	char dir[] = "/tmp/aegis-kit-XXXXXX";
	struct ag_ctx *ctx;
	static bool once;
	ag_err err;

	if (kit == NULL || (ctx = kit->ctx = calloc(1, sizeof(*ctx))) == NULL)
		ag_panic("kit: no memory");
	if (!once && ag_secret_init() != AG_OK)
		ag_panic("kit: no locked memory");
	once = true;
	ag_log_open(actor->name, AG_ERROR);
	if (state_dir == NULL) {
		state_dir = mkdtemp(dir);
		kit->own_dir = strdup(dir);
	}
	ctx->kit = kit;
	ctx->manual_clock = true;
	ctx->manual_wall_ms = kit_epoch_ms;
	ctx->manual_mono_us = 1000000;
	err = ctx_init(ctx, actor, kit_boot(actor, config, state_dir));
	if (err != AG_OK)
		ag_panic("kit: %s does not start: %s", actor->name,
		    ag_err_row(err)->name);
	for (unsigned i = 0; i < ctx->slot_count; i++)
		ctx->slots[i].up = true;
	ctx->connected = true;
	ctx->marks_pending = false;
	run_caught_up(ctx);
	settle(kit);
	return kit;
}

static int
remove_entry(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
sent_free(struct sent *sent)
{
	if (sent == NULL)
		return;
	if (sent->env != NULL)
		ag__envelope__free_unpacked(sent->env, NULL);
	if (sent->body != NULL)
		protobuf_c_message_free_unpacked(sent->body, NULL);
	free(sent->bytes);
	free(sent);
}

void
ag_kit_free(struct ag_kit **kitp)
{
	struct ag_kit *kit = *kitp;

	*kitp = NULL;
	if (kit == NULL)
		return;
	if (ag_store_commit(kit->ctx) != AG_OK)
		ag_panic("kit: the store does not commit");
	ctx_fini(kit->ctx);
	free(kit->ctx);
	while (kit->first != NULL) {
		struct sent *next = kit->first->next;

		sent_free(kit->first);
		kit->first = next;
	}
	sent_free(kit->current);
	for (size_t i = 0; i < kit->stream_count; i++)
		free(kit->streams[i].name);
	if (kit->own_dir != NULL)
		nftw(kit->own_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(kit->own_dir);
	free(kit);
}

void *
ag_kit_state(struct ag_kit *kit)
{
	return kit->ctx->state;
}

struct ag_ctx *
ag_kit_ctx(struct ag_kit *kit)
{
	return kit->ctx;
}

const char *
ag_kit_state_dir(struct ag_kit *kit)
{
	return kit->ctx->boot->state_dir;
}

void
ag_kit_tell(struct ag_kit *kit, const char *word)
{
	kit->ctx->actor->told(kit->ctx->state, kit->ctx, word);
	settle(kit);
}

const char *
ag_kit_said(struct ag_kit *kit)
{
	return kit->ctx->said;
}

int64_t
ag_kit_now(struct ag_kit *kit)
{
	return kit->ctx->manual_wall_ms;
}

/* Step by step, so that what is due first runs first, at its time. */
void
ag_kit_advance(struct ag_kit *kit, int64_t ms)
{
	struct ag_ctx *ctx = kit->ctx;
	uint64_t target = ctx->manual_mono_us + (uint64_t)ms * 1000;

	for (;;) {
		uint64_t next = timer_next_ms(ctx);
		uint64_t now = ctx->manual_mono_us;

		if (next == UINT64_MAX || next * 1000 > target)
			break;
		if (next * 1000 > now) {
			ctx->manual_wall_ms += (int64_t)(next - now / 1000);
			ctx->manual_mono_us = next * 1000;
		}
		timer_run(ctx);
		settle(kit);
	}
	ctx->manual_wall_ms += (int64_t)(target / 1000 -
	    ctx->manual_mono_us / 1000);
	ctx->manual_mono_us = target;
	settle(kit); /* what a plane's or sink's own callbacks said */
}

void
ag_kit_sleep(struct ag_kit *kit, int64_t ms)
{
	struct ag_ctx *ctx = kit->ctx;

	ctx->manual_wall_ms += ms;
	ctx->manual_mono_us += (uint64_t)ms * 1000;
	timer_run(ctx);
	settle(kit);
}

/* ---------------------------------------------------------------- going in */

void
ag_kit_deliver_bytes(struct ag_kit *kit, enum ag_role from, unsigned index,
    const uint8_t *frame, size_t len)
{
	uint8_t *copy = malloc(len + AG_FRAME_HEADER);
	unsigned slot = from == AG_ROLE_NONE ? AG_SLOT_BROKER :
	    ag_slot(kit->ctx, from, index);

	memcpy(copy, frame, len);
	if (len >= AG_FRAME_HEADER)
		ag_frame_stamp(copy, (uint16_t)slot);
	if (ag_line_between(from, ag_slot_role(kit->ctx, kit->ctx->self)))
		line_frame(kit->ctx, slot, copy, len);
	else
		trip_frame(kit->ctx, copy, len);
	settle(kit);
	free(copy);
}

void
ag_kit_deliver(struct ag_kit *kit, enum ag_role from, unsigned index,
    uint16_t type, const Ag__Envelope *env, const void *body)
{
	static const Ag__Envelope empty = AG__ENVELOPE__INIT;
	size_t env_len, body_len, len;
	uint8_t *frame;

	if (env == NULL)
		env = &empty;
	env_len = ag__envelope__get_packed_size(env);
	body_len = protobuf_c_message_get_packed_size(body);
	len = AG_FRAME_HEADER + AG_PART_HEADER + env_len + body_len;
	frame = calloc(1, len);
	ag_frame_write_header(frame, (uint16_t)kit->ctx->self, 1);
	ag_part_write_header(frame + AG_FRAME_HEADER,
	    (uint32_t)(env_len + body_len), type, (uint32_t)env_len);
	ag__envelope__pack(env, frame + AG_FRAME_HEADER + AG_PART_HEADER);
	protobuf_c_message_pack(body,
	    frame + AG_FRAME_HEADER + AG_PART_HEADER + env_len);
	ag_kit_deliver_bytes(kit, from, index, frame, len);
	free(frame);
}

static void
grant_defaults(struct ag_kit *kit, Ag__Grant *grant, uint8_t id[AG_UUID_BYTES])
{
	struct ag_ctx *ctx = kit->ctx;

	if (grant->request_id.len == 0) {
		ag_uuid7(ctx->manual_wall_ms, id);
		grant->request_id.data = id;
		grant->request_id.len = AG_UUID_BYTES;
	}
	if (grant->tenant == NULL)
		grant->tenant = (char *)"default";
	if (grant->actor_id == NULL) {
		grant->actor_id =
		    (char *)"hum_01890000000070008000000000000001";
		grant->has_actor_kind = true;
		grant->actor_kind = AG__KIND__V__human;
		grant->actor_name = (char *)"alice";
	}
	if (grant->n == 0)
		grant->n = ++kit->n;
	if (grant->boot == 0)
		grant->boot = 1;
	if (grant->occurred_at == 0)
		grant->occurred_at = ctx->manual_wall_ms;
	if (grant->deadline_ms == 0)
		grant->deadline_ms = ctx->manual_mono_us / 1000 + AG_DEADLINE_MS;
	grant->plane = ag_slot(ctx, AG_ROLE_PLANE, 0);
	grant->received_us = ctx->manual_mono_us;
}

/* Packed grant and MAC in env: owned by env's buffers, freed by grant_drop. */
void
ag_kit_grant(struct ag_kit *kit, Ag__Grant *grant, Ag__Envelope *env)
{
	static uint8_t id[AG_UUID_BYTES];

	grant_defaults(kit, grant, id);
	env->has_grant = env->has_grant_mac = true;
	env->grant.len = ag__grant__get_packed_size(grant);
	env->grant.data = malloc(env->grant.len);
	ag__grant__pack(grant, env->grant.data);
	env->grant_mac.len = AG_MAC_BYTES;
	env->grant_mac.data = malloc(AG_MAC_BYTES);
	env->has_deadline_ms = true;
	env->deadline_ms = grant->deadline_ms;
	if (ag_mac_sign(kit->ctx->mac, env->grant.data, env->grant.len,
	        env->grant_mac.data) != AG_OK)
		ag_panic("kit: cannot sign");
}

void
ag_kit_operate(struct ag_kit *kit, uint16_t op, Ag__Grant *grant,
    const void *body)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	size_t len = protobuf_c_message_get_packed_size(body);
	uint8_t *bytes = malloc(len + 1), digest[32];

	protobuf_c_message_pack(body, bytes);
	ag_sha256(bytes, len, digest);
	free(bytes);
	grant->op = op;
	grant->has_body_digest = true;
	grant->body_digest.data = digest;
	grant->body_digest.len = sizeof(digest);
	ag_kit_grant(kit, grant, &env);
	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	env.verdict = &verdict;
	ag_kit_deliver(kit,
	    kit->ctx->slots[kit->ctx->self].role == AG_ROLE_RISK ?
	    AG_ROLE_IAM : AG_ROLE_RISK, 0, op, &env, body);
	free(env.grant.data);
	free(env.grant_mac.data);
}

ag_err
ag_kit_audit(struct ag_kit *kit, const Ag__Event *event, uint64_t pos)
{
	size_t len = ag__event__get_packed_size(event);
	uint8_t *bytes = malloc(len + 1);
	ag_err err;

	ag__event__pack(event, bytes);
	err = follow_audit_event(kit->ctx, bytes, len, pos);
	free(bytes);
	kit->ctx->turned = true;
	settle(kit);
	return err;
}

void
ag_kit_work(struct ag_kit *kit)
{
	while (work_run_one(kit->ctx))
		settle(kit);
}

/* -------------------------------------------------------------- coming out */

void
kit_capture(struct ag_kit *kit, const uint8_t *bytes, size_t len)
{
	struct ag_frame frame;
	struct ag_part part;
	size_t offset = AG_FRAME_HEADER;

	if (ag_frame_parse(bytes, len, &frame) != AG_OK)
		ag_panic("kit: the engine wrote a frame that it cannot read");
	for (unsigned i = 0; i < frame.count; i++) {
		struct sent *sent = calloc(1, sizeof(*sent));

		if (ag_frame_part(bytes, len, &offset, &part) != AG_OK)
			ag_panic("kit: bad part");
		sent->bytes = malloc(part.body_len + 1);
		memcpy(sent->bytes, part.body, part.body_len);
		sent->env = ag__envelope__unpack(NULL, part.env_len, part.env);
		sent->body = protobuf_c_message_unpack(
		    ag_message_find(part.type)->body, NULL, part.body_len,
		    part.body);
		sent->public.to = frame.to;
		sent->public.to_role = ag_slot_role(kit->ctx, frame.to);
		sent->public.type = part.type;
		sent->public.env = sent->env;
		sent->public.body = sent->body;
		sent->public.bytes = sent->bytes;
		sent->public.len = part.body_len;
		if (kit->first == NULL)
			kit->first = sent;
		else
			kit->last->next = sent;
		kit->last = sent;
	}
}

const struct ag_kit_sent *
ag_kit_next(struct ag_kit *kit)
{
	struct sent *sent = kit->first;

	sent_free(kit->current);
	kit->current = sent;
	if (sent == NULL)
		return NULL;
	kit->first = sent->next;
	return &sent->public;
}

const struct ag_kit_sent *
ag_kit_find(struct ag_kit *kit, uint16_t type)
{
	const struct ag_kit_sent *sent;

	while ((sent = ag_kit_next(kit)) != NULL && sent->type != type)
		;
	return sent;
}

static void
answer(struct ag_kit *kit, unsigned from, uint64_t corr, ag_err err,
    uint16_t type, const void *body)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	enum ag_role role = ag_slot_role(kit->ctx, from);
	unsigned index = 0;

	while (ag_slot(kit->ctx, role, index) != from)
		index++;
	env.has_corr = true;
	env.corr = corr;
	env.has_status = err != AG_OK;
	env.status = err;
	ag_kit_deliver(kit, role, index, type, &env, body);
}

void
ag_kit_answer(struct ag_kit *kit, const struct ag_kit_sent *ask, uint16_t type,
    const void *body)
{
	answer(kit, ask->to, ask->env->corr, AG_OK, type, body);
}

void
ag_kit_answer_error(struct ag_kit *kit, const struct ag_kit_sent *ask, ag_err err,
    const char *reason_code)
{
	Ag__ErrorReply reply = AG__ERROR_REPLY__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	refusal.err = err;
	refusal.reason_code = (char *)reason_code;
	reply.refusal = &refusal;
	answer(kit, ask->to, ask->env->corr, err, AG_MSG_ERROR_REPLY, &reply);
}

/* ------------------------------------------------------ playing the journal */

static uint64_t *
version_of(struct ag_kit *kit, const char *stream)
{
	for (size_t i = 0; i < kit->stream_count; i++)
		if (strcmp(kit->streams[i].name, stream) == 0)
			return &kit->streams[i].version;
	if (kit->stream_count == KIT_STREAMS_MAX)
		ag_panic("kit: too many streams");
	kit->streams[kit->stream_count].name = strdup(stream);
	kit->streams[kit->stream_count].version = 0;
	return &kit->streams[kit->stream_count++].version;
}

static void
push_record(struct ag_kit *kit, const Ag__Change *change, uint64_t seq,
    const char *tenant)
{
	Ag__JournalRecord record = AG__JOURNAL_RECORD__INIT;

	record.seq = seq;
	record.stream = change->stream;
	record.version = change->expected_version + 1;
	record.type = change->type;
	record.event = change->event;
	record.committed_at = kit->ctx->manual_wall_ms;
	record.tenant = (char *)tenant;
	record.author = kit->ctx->boot->self->name;
	ag_kit_deliver(kit, AG_ROLE_JOURNAL, 0, AG_MSG_JOURNAL_RECORD_EVENT,
	    NULL, &record);
}

static void
play_append(struct ag_kit *kit, struct sent *sent)
{
	const Ag__JournalAppendAsk *ask = (const void *)sent->body;
	Ag__JournalAppendReply reply = AG__JOURNAL_APPEND_REPLY__INIT;

	for (size_t i = 0; i < ask->n_changes; i++)
		if (*version_of(kit, ask->changes[i]->stream) !=
		    ask->changes[i]->expected_version) {
			ag_kit_answer_error(kit, &sent->public, AG_CONFLICT, NULL);
			return;
		}
	reply.first_seq = kit->seq + 1;
	reply.committed_at = kit->ctx->manual_wall_ms;
	for (size_t i = 0; i < ask->n_changes; i++) {
		++*version_of(kit, ask->changes[i]->stream);
		kit->seq++;
		if (kit->ctx->actor->follow == AG_FOLLOW_LIVE)
			push_record(kit, ask->changes[i], kit->seq, ask->tenant);
	}
	ag_kit_answer(kit, &sent->public, AG_MSG_JOURNAL_APPEND_REPLY, &reply);
}

/* Takes the first message to the journal out of the queue. */
static struct sent *
take_journal(struct ag_kit *kit)
{
	struct sent **at = &kit->first, *before = NULL, *sent;

	while ((sent = *at) != NULL &&
	    sent->public.type != AG_MSG_JOURNAL_APPEND_ASK &&
	    sent->public.type != AG_MSG_JOURNAL_IDEM_ASK) {
		before = sent;
		at = &sent->next;
	}
	if (sent == NULL)
		return NULL;
	*at = sent->next;
	if (kit->last == sent)
		kit->last = before;
	return sent;
}

bool
ag_kit_journal(struct ag_kit *kit)
{
	Ag__JournalIdemReply unknown = AG__JOURNAL_IDEM_REPLY__INIT;
	struct sent *sent;
	bool append;

	while ((sent = take_journal(kit)) != NULL) {
		append = sent->public.type == AG_MSG_JOURNAL_APPEND_ASK;
		if (append)
			play_append(kit, sent);
		else
			ag_kit_answer(kit, &sent->public,
			    AG_MSG_JOURNAL_IDEM_REPLY, &unknown);
		sent_free(sent);
		if (append)
			return true;
	}
	return false;
}
