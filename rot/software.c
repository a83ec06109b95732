/* SPDX-License-Identifier: Apache-2.0 */
/*
 * software: a root of trust in files. It protects against a reader of the disk
 * who has not the master key, and against nothing else; an environment called
 * prod must accept that in writing (rot.software.accept_risk).
 * Hears rot_generate_ask, rot_load_ask, rot_destroy_ask, rot_importer_ask
 * (keys), rot_sign_ask, rot_keys_ask, rot_secret_ask (iam, audit). Says the
 * event of a new master key (software/rekey.h).
 * The issuer's key is replaced by the clock (software/purpose.h).
 * Keeps every version's material under a wrapping key of its own, and that
 * under the master key (software/vault.h).
 */
#include "software/import.h"
#include "software/make.h"
#include "software/purpose.h"
#include "software/rekey.h"
#include "software/shred.h"
#include "software/vault.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 1000 };

struct software {
	struct vault vault;
	struct importers importers;
	struct rekey rekey;
	struct purposes purposes;
};

/* ----------------------------------------------------------- generate, load */

static ag_err
reply_made(struct software *s, struct ag_ctx *ctx, const struct make_spec *spec,
    const struct vault_id *id)
{
	Ag__RotGenerateReply reply = AG__ROT_GENERATE_REPLY__INIT;
	struct ag_secret *material = NULL;
	EVP_PKEY *pkey;
	ag_err err;

	reply.resident = false;
	if (spec->type == NULL)
		return ag_reply(ctx, AG_MSG_ROT_GENERATE_REPLY, &reply);
	/* Read back: what the caller is told is what is kept. */
	if ((err = vault_get(&s->vault, ctx, id, &material)) != AG_OK)
		return err;
	pkey = make_parse(material);
	ag_secret_free(&material);
	if (pkey == NULL)
		return AG_CORRUPT;
	reply.has_public_key_der = true;
	reply.public_key_der.data = make_public(ctx, pkey, &reply.public_key_der.len);
	EVP_PKEY_free(pkey);
	if (reply.public_key_der.data == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_ROT_GENERATE_REPLY, &reply);
}

/* Takes material. Whoever came first keeps it: the same ask gets the same key. */
static ag_err
keep(struct software *s, struct ag_ctx *ctx, const struct make_spec *spec,
    const struct vault_id *id, struct ag_secret **material)
{
	/* Its tenant may have gone while it was made. */
	ag_err err = shred_gone(ctx, id->tenant) ? AG_ITEM_NOT_FOUND :
	    vault_put(&s->vault, ctx, id, *material);

	ag_secret_free(material);
	if (err != AG_OK && err != AG_ALREADY_EXISTS)
		return err;
	return reply_made(s, ctx, spec, id);
}

static struct vault_id
id_of(const Ag__RotGenerateAsk *ask)
{
	return (struct vault_id){ ask->tenant, ask->key_id, ask->version };
}

/* Purposes live in the same vault; nobody gets at them by asking for a key. */
static ag_err
id_check(struct ag_ctx *ctx, const char *key_id, uint32_t version)
{
	if (ag_id_valid(key_id, "key") && version > 0)
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/key_id",
	    "This names no key version.");
}

struct job {
	const struct make_spec *spec;
	EVP_PKEY *pkey;
};

static ag_err
work(void *arg)
{
	struct job *job = arg;

	job->pkey = make_pkey(job->spec);
	return job->pkey == NULL ? AG_GENERAL_FAILURE : AG_OK;
}

static ag_err
on_worked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct job *job = memo;
	const struct make_spec *spec = job->spec;
	struct ag_secret *material = NULL;
	const Ag__RotGenerateAsk *ask;
	struct vault_id id;
	const uint8_t *body;
	size_t len;
	const Ag__Envelope *env = ag_env(ctx);
	ag_err err = status;

	/* Who asked has given up and was told so: nothing of it is kept. */
	if (err == AG_OK && env->deadline_ms != 0 && env->deadline_ms < ag_mono_ms(ctx))
		err = AG_DEADLINE_EXCEEDED;
	if (err == AG_OK)
		err = make_material(job->pkey, &material);
	EVP_PKEY_free(job->pkey);
	free(job);
	if (err != AG_OK)
		return err;
	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__rot_generate_ask__descriptor, body, len);
	if (ask == NULL) {
		ag_secret_free(&material);
		return AG_NO_MEMORY;
	}
	id = id_of(ask);
	return keep(state, ctx, spec, &id, &material);
}

static ag_err
begin_slow(struct ag_ctx *ctx, const struct make_spec *spec)
{
	struct job *job = calloc(1, sizeof(*job));
	ag_err err;

	if (job == NULL)
		return AG_NO_MEMORY;
	job->spec = spec;
	err = ag_work(ctx, work, job, on_worked);
	if (err != AG_PENDING)
		free(job);
	return err;
}

static ag_err
take_given(struct ag_ctx *ctx, const struct make_spec *spec, const Ag__Sealed *sealed,
    struct ag_secret **out)
{
	ag_err err = ag_unseal(ctx, sealed, out);

	if (err != AG_OK || make_fits(spec, *out))
		return err;
	ag_secret_free(out);
	return ag_refuse(ctx, AG_INVALID_FIELD, "wrong_type", NULL,
	    "The material is not of this key_spec.");
}

static ag_err
keep_imported(void *state, struct ag_ctx *ctx, const Ag__RotGenerateAsk *ask,
    struct ag_secret **material)
{
	struct vault_id id = id_of(ask);

	return keep(state, ctx, make_spec_find(ask->key_spec), &id, material);
}

static ag_err
on_importer_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	return importer_make(&((struct software *)state)->importers, ctx, msg);
}

/* Each call that is of somebody's request is said with whose it is. */
static void
say_call(struct ag_ctx *ctx, const char *what, const char *key_id)
{
	const char *stamp = ag_env(ctx)->stamp;

	ag_log(ctx, AG_DEBUG, "ROT-CALL", "what=%s key=%s stamp=%s", what, key_id,
	    stamp == NULL ? "none" : stamp);
}

/* A new version belongs where the others are: on another node, whose root of trust
 * has none of them, it would tear the key apart. */
static bool
has_earlier(struct ag_ctx *ctx, const struct vault_id *id)
{
	struct vault_id earlier = *id;

	while (--earlier.version > 0)
		if (vault_has(ctx, &earlier))
			return true;
	return id->version == 1;
}

static ag_err
on_generate_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RotGenerateAsk *ask = msg;
	const struct make_spec *spec = make_spec_find(ask->key_spec);
	struct vault_id id = id_of(ask);
	struct ag_secret *material = NULL;
	ag_err err;

	if ((err = id_check(ctx, ask->key_id, ask->version)) != AG_OK)
		return err;
	say_call(ctx, "generate", ask->key_id);
	if (spec == NULL)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, "key_spec", "/key_spec",
		    "This root of trust does not make keys of this key_spec.");
	if (vault_has(ctx, &id))
		return reply_made(state, ctx, spec, &id);
	if (ask->import_id != NULL)
		return importer_open(&((struct software *)state)->importers, ctx, ask,
		    spec, keep_imported);
	if (ask->material == NULL && !has_earlier(ctx, &id))
		return AG_ITEM_NOT_FOUND;
	if (ask->material == NULL && spec->slow)
		return begin_slow(ctx, spec);
	err = ask->material != NULL ? take_given(ctx, spec, ask->material, &material) :
	    make_now(spec, &material);
	return err == AG_OK ? keep(state, ctx, spec, &id, &material) : err;
}

static ag_err
on_load_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RotLoadAsk *ask = msg;
	struct software *s = state;
	struct vault_id id = { ask->tenant, ask->key_id, ask->version };
	Ag__RotLoadReply reply = AG__ROT_LOAD_REPLY__INIT;
	Ag__Sealed sealed = AG__SEALED__INIT;
	struct ag_secret *material = NULL;
	ag_err err;

	if ((err = id_check(ctx, ask->key_id, ask->version)) != AG_OK)
		return err;
	say_call(ctx, "load", ask->key_id);
	if (ask->reply_key.len != AG_SEAL_KEY_BYTES)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reply_key",
		    "A key of 32 bytes is wanted.");
	if (shred_gone(ctx, id.tenant))
		return AG_ITEM_NOT_FOUND;
	if ((err = vault_get(&s->vault, ctx, &id, &material)) != AG_OK)
		return err;
	err = ag_seal(ctx, ask->reply_key.data, ag_secret_bytes(material),
	    ag_secret_len(material), &sealed);
	ag_secret_free(&material);
	if (err != AG_OK)
		return err;
	reply.material = &sealed;
	return ag_reply(ctx, AG_MSG_ROT_LOAD_REPLY, &reply);
}

static ag_err
on_destroy_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RotDestroyAsk *ask = msg;
	struct software *s = state;
	struct vault_id id = { ask->tenant, ask->key_id, ask->version };
	Ag__Done done = AG__DONE__INIT;
	ag_err err;

	if ((err = id_check(ctx, ask->key_id, ask->version)) != AG_OK ||
	    (err = vault_destroy(&s->vault, ctx, &id)) != AG_OK)
		return err;
	say_call(ctx, "destroy", ask->key_id);
	return ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
}

static ag_err
on_shred_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RotShredAsk *ask = msg;
	struct software *s = state;
	Ag__RotShredReply reply = AG__ROT_SHRED_REPLY__INIT;
	struct shred shred;
	ag_err err;

	/* Purposes live under a tenant of ours, which does not end. */
	if (!ag_name_valid(ask->tenant) || strcmp(ask->tenant, "system") == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/tenant", "This names no tenant.");
	if ((err = shred_tenant(&s->vault, ctx, ask->tenant, ask->max, &shred)) !=
	    AG_OK)
		return err;
	reply.erased = shred.erased;
	reply.left = shred.left;
	return ag_reply(ctx, AG_MSG_ROT_SHRED_REPLY, &reply);
}

/* ----------------------------------------------------------------- purposes */

static ag_err
on_sign_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	return purposes_sign(&((struct software *)state)->purposes, ctx, msg);
}

static ag_err
on_keys_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	return purposes_keys(&((struct software *)state)->purposes, ctx, msg);
}

static ag_err
on_secret_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	return purposes_secret(&((struct software *)state)->vault, ctx, msg);
}

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	struct software *s = state;

	purposes_tick(&s->purposes, &s->vault, ctx);
}

/* -------------------------------------------------------------------- start */

static ag_err
software_init(void *state, struct ag_ctx *ctx)
{
	struct software *s = state;
	ag_err err;

	s->vault.now.fd = s->vault.next.fd = -1;
	s->rekey.vault = &s->vault;
	if (!ag_is_dev(ctx) && ag_config_int(ctx, "rot.software.accept_risk") == 0) {
		ag_log(ctx, AG_ERROR, "ROT-SOFTWARE-PROD",
		    "in environment prod the software root of trust needs rot.software.accept_risk: true");
		return AG_USAGE;
	}
	ag_log(ctx, AG_WARN, "ROT-SOFTWARE",
	    "keys are protected only against whoever reads the disk without the master key");
	if ((err = vault_open(&s->vault, ctx)) != AG_OK)
		return err;
	err = purposes_open(&s->purposes, &s->vault, ctx);
	return err != AG_OK ? err : ag_every(ctx, TICK_MS, on_tick);
}

static void
software_fini(void *state, struct ag_ctx *ctx)
{
	struct software *s = state;

	purposes_close(&s->purposes);
	importers_fini(&s->importers);
	vault_close(&s->vault);
}

static ag_err
software_ready(void *state, struct ag_ctx *ctx)
{
	struct software *s = state;

	return rekey_ready(&s->rekey, ctx);
}

static void
software_told(void *state, struct ag_ctx *ctx, const char *word)
{
	struct software *s = state;

	if (strcmp(word, "rekey start") == 0 || strcmp(word, "rekey resume") == 0)
		rekey_told(&s->rekey, ctx, word + strlen("rekey "));
	else
		ag_log(ctx, AG_WARN, "WORD-UNKNOWN", "%s", word);
}

static const struct ag_row rows[] = {
	{ AG_MSG_ROT_GENERATE_ASK, on_generate_ask },
	{ AG_MSG_ROT_IMPORTER_ASK, on_importer_ask },
	{ AG_MSG_ROT_LOAD_ASK, on_load_ask },
	{ AG_MSG_ROT_DESTROY_ASK, on_destroy_ask },
	{ AG_MSG_ROT_SHRED_ASK, on_shred_ask },
	{ AG_MSG_ROT_SIGN_ASK, on_sign_ask },
	{ AG_MSG_ROT_KEYS_ASK, on_keys_ask },
	{ AG_MSG_ROT_SECRET_ASK, on_secret_ask },
};

static const char *const tables[] = { "blobs", "notes", NULL };

const struct ag_actor ag_actor_software = {
	.name = "software",
	.state_size = sizeof(struct software),
	AG_ROWS(rows),
	.init = software_init,
	.ready = software_ready,
	.told = software_told,
	.fini = software_fini,
	.tables = tables,
	.store_dir = "rot/blobs",
};
