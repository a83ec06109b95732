/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: the rules of the configuration (audit.redact) by operation and
 * field, and the guard (guard.h) over every free text of every event.
 *
 * A value that goes is replaced by `[redacted:<what>:<hash>]`: the first 16
 * bytes of HMAC-SHA-256(key, tenant ‖ 0 ‖ value) in hex, what being `rule` or
 * what the guard saw. The key is the root of trust's, of purpose "redaction";
 * without it a hash could be undone by trying (cards have few digits).
 */
#include "redact.h"

#include "guard.h"

#include <jansson.h>
#include <openssl/hmac.h>
#include <string.h>

enum {
	HASH_BYTES = 16, /* of the MAC that are shown */
	SPOTS_MAX = 16,
	GROWTH = 5, /* 53 characters at most instead of 11 at least (a PEM label) */
	ROT_TIMEOUT_MS = 2000,
};

/* A text of the event. path: what a rule calls it, NULL: rules cannot. */
struct spot {
	const char *path;
	char **text;
};

static const char params[] = "params.";

/* ------------------------------------------------------------------- key */

void
redact_ask_key(struct redact *r, struct ag_ctx *ctx, unsigned rot, ag_then *then)
{
	Ag__RotSecretAsk ask = AG__ROT_SECRET_ASK__INIT;

	if (r->key != NULL || r->asking || !ag_slot_up(ctx, rot))
		return;
	ask.purpose = (char *)"redaction";
	ask.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(ctx);
	ask.reply_key.len = AG_SEAL_KEY_BYTES;
	r->asking = ag_ask(ctx, rot, AG_MSG_ROT_SECRET_ASK, &ask,
	    AG_MSG_ROT_SECRET_REPLY, ROT_TIMEOUT_MS, then, NULL, 0) == AG_PENDING;
}

ag_err
redact_take_key(struct redact *r, struct ag_ctx *ctx,
    const Ag__RotSecretReply *reply)
{
	struct ag_secret *key = NULL;
	ag_err err = ag_unseal(ctx, reply->material, &key);

	if (err == AG_OK && ag_secret_len(key) != REDACT_KEY_BYTES)
		err = AG_BAD_MESSAGE;
	if (err != AG_OK) {
		ag_secret_free(&key);
		return err;
	}
	ag_secret_free(&r->key);
	r->key = key;
	return AG_OK;
}

/* ----------------------------------------------------------- replacements */

/* `[redacted:jwt:0123…]` in the turn's arena. */
static char *
replacement(struct redact *r, struct ag_ctx *ctx, const char *tenant,
    const char *what, const char *value, size_t len)
{
	char digits[GUARD_CARD_DIGITS_MAX], hash[2 * HASH_BYTES + 1];
	uint8_t mac[EVP_MAX_MD_SIZE];
	size_t tenant_len = strlen(tenant) + 1;
	uint8_t *text;

	r->count++;
	if (r->key == NULL)
		return ag_printf(ctx, "[redacted:%s:no-key]", what);
	if (strcmp(what, "card") == 0) {
		len = guard_digits(value, len, digits);
		value = digits;
	}
	if ((text = ag_alloc(ctx, tenant_len + len)) == NULL)
		return NULL;
	memcpy(text, tenant, tenant_len);
	memcpy(text + tenant_len, value, len);
	if (HMAC(EVP_sha256(), ag_secret_bytes(r->key), REDACT_KEY_BYTES, text,
	        tenant_len + len, mac, NULL) == NULL)
		return NULL;
	ag_hex(mac, HASH_BYTES, hash);
	ag_wipe(digits, sizeof(digits));
	return ag_printf(ctx, "[redacted:%s:%s]", what, hash);
}

/* ------------------------------------------------------------------ guard */

/* The text with every hit replaced; NULL without memory. */
static char *
without_hits(struct redact *r, struct ag_ctx *ctx, const char *tenant,
    const char *text, struct guard *g, struct guard_hit hit)
{
	char *out = ag_alloc(ctx, GROWTH * g->len + 1), *to = out;
	size_t from = 0;

	if (out == NULL)
		return NULL;
	do {
		const char *instead = replacement(r, ctx, tenant, hit.what,
		    text + hit.at, hit.len);

		if (instead == NULL)
			return NULL;
		to = mempcpy(to, text + from, hit.at - from);
		to = stpcpy(to, instead);
		from = hit.at + hit.len;
	} while (guard_next(g, &hit));
	strcpy(to, text + from);
	return out;
}

static ag_err
guard_text(struct redact *r, struct ag_ctx *ctx, const char *tenant, char **text)
{
	struct guard_hit hit;
	struct guard g;
	char *clean;

	if (*text == NULL)
		return AG_OK;
	guard_begin(&g, *text, strlen(*text));
	if (!guard_next(&g, &hit))
		return AG_OK;
	clean = without_hits(r, ctx, tenant, *text, &g, hit);
	if (clean == NULL)
		return AG_NO_MEMORY;
	*text = clean;
	return AG_OK;
}

/* ------------------------------------------------------------------ rules */

/* "key.sign" fits "key.sign", "key.*" and "*". */
static bool
operation_fits(const char *pattern, const char *operation)
{
	size_t len;

	if (pattern == NULL)
		return true;
	len = strlen(pattern);
	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, operation, len - 1) == 0;
	return strcmp(pattern, operation) == 0;
}

static ag_err
whole(struct redact *r, struct ag_ctx *ctx, const char *tenant, char **text)
{
	char *instead;

	if (*text == NULL || **text == '\0')
		return AG_OK;
	instead = replacement(r, ctx, tenant, "rule", *text, strlen(*text));
	if (instead == NULL)
		return AG_NO_MEMORY;
	*text = instead;
	return AG_OK;
}

/* A member of the JSON object in a value, by its path; `.` parts the names. */
static json_t *
nested(json_t *object, const char *path, const char **last)
{
	const char *dot;
	char name[256];

	while ((dot = strchr(path, '.')) != NULL) {
		if ((size_t)(dot - path) >= sizeof(name))
			return NULL;
		memcpy(name, path, (size_t)(dot - path));
		name[dot - path] = '\0';
		object = json_object_get(object, name);
		path = dot + 1;
	}
	*last = path;
	return json_is_object(object) && json_object_get(object, path) != NULL ?
	    object : NULL;
}

static ag_err
replace_member(struct redact *r, struct ag_ctx *ctx, const char *tenant,
    json_t *owner, const char *name)
{
	json_t *member = json_object_get(owner, name);
	char *text = json_is_string(member) ?
	    strdup(json_string_value(member)) :
	    json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	char *instead = text;
	ag_err err;

	if (text == NULL)
		return AG_NO_MEMORY;
	err = whole(r, ctx, tenant, &instead);
	if (err == AG_OK &&
	    json_object_set_new(owner, name, json_string(instead)) != 0)
		err = AG_NO_MEMORY;
	ag_wipe(text, strlen(text));
	free(text);
	return err;
}

/* The rule names a member inside a value. What is no JSON object, or too large
 * to look into, goes whole: the rule's author wanted it gone. */
static ag_err
inside(struct redact *r, struct ag_ctx *ctx, const char *tenant, char **text,
    const char *path)
{
	json_t *object, *owner;
	const char *name;
	char *dump;
	ag_err err;

	if (*text == NULL)
		return AG_OK;
	object = strlen(*text) > REDACT_NESTED_MAX ? NULL :
	    json_loads(*text, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(object)) {
		json_decref(object);
		return whole(r, ctx, tenant, text);
	}
	owner = nested(object, path, &name);
	err = owner == NULL ? AG_OK : replace_member(r, ctx, tenant, owner, name);
	if (err == AG_OK && owner != NULL) {
		dump = json_dumps(object, JSON_COMPACT);
		*text = dump == NULL ? NULL : ag_strdup(ctx, dump);
		err = *text == NULL ? AG_NO_MEMORY : AG_OK;
		free(dump);
	}
	json_decref(object);
	return err;
}

/* field: behind "params.": a name, "*", or a name and a path inside it. */
static ag_err
rule_params(struct redact *r, struct ag_ctx *ctx, Ag__Event *event,
    const char *field)
{
	ag_err err = AG_OK;

	for (size_t i = 0; err == AG_OK && i < event->n_params; i++) {
		Ag__Pair *pair = event->params[i];
		size_t len = strlen(pair->key);

		if (strcmp(field, "*") == 0 || strcmp(field, pair->key) == 0)
			err = whole(r, ctx, event->tenant, &pair->value);
		else if (strncmp(field, pair->key, len) == 0 && field[len] == '.')
			err = inside(r, ctx, event->tenant, &pair->value,
			    field + len + 1);
	}
	return err;
}

static ag_err
rule(struct redact *r, struct ag_ctx *ctx, Ag__Event *event,
    const struct spot *spots, size_t spot_count, const char *field)
{
	if (strncmp(field, params, sizeof(params) - 1) == 0)
		return rule_params(r, ctx, event, field + sizeof(params) - 1);
	for (size_t i = 0; i < spot_count; i++) {
		if (spots[i].path != NULL && strcmp(spots[i].path, field) == 0)
			return whole(r, ctx, event->tenant, spots[i].text);
	}
	return AG_OK;
}

/* ------------------------------------------------------------------ event */

/* Ids, times, hashes and words of ours are no free text. */
static size_t
spots_of(Ag__Event *e, struct spot spots[SPOTS_MAX])
{
	size_t n = 0;

	spots[n++] = (struct spot){ "user_agent", &e->user_agent };
	spots[n++] = (struct spot){ "client_request_id", &e->client_request_id };
	spots[n++] = (struct spot){ "source_address", &e->source_address };
	spots[n++] = (struct spot){ "reason", &e->reason };
	if (e->actor != NULL) {
		spots[n++] = (struct spot){ "actor.label", &e->actor->label };
		spots[n++] = (struct spot){ "actor.model", &e->actor->model };
		spots[n++] = (struct spot){ "actor.model_asserted",
			&e->actor->model_asserted };
		spots[n++] = (struct spot){ NULL, &e->actor->name };
	}
	if (e->resource != NULL) {
		spots[n++] = (struct spot){ NULL, &e->resource->id };
		spots[n++] = (struct spot){ NULL, &e->resource->alias };
	}
	return n;
}

ag_err
redact_event(struct redact *r, struct ag_ctx *ctx, Ag__Event *event)
{
	struct spot spots[SPOTS_MAX];
	size_t count = spots_of(event, spots);
	ag_err err = AG_OK;

	for (unsigned i = 0; err == AG_OK && i < r->rule_count; i++) {
		if (operation_fits(r->rules[i].operation, event->operation))
			err = rule(r, ctx, event, spots, count, r->rules[i].field);
	}
	for (size_t i = 0; err == AG_OK && i < count; i++)
		err = guard_text(r, ctx, event->tenant, spots[i].text);
	for (size_t i = 0; err == AG_OK && i < event->n_params; i++)
		err = guard_text(r, ctx, event->tenant, &event->params[i]->value);
	for (size_t i = 0; err == AG_OK && i < event->n_chain; i++)
		err = guard_text(r, ctx, event->tenant, &event->chain[i]->name);
	return err;
}

ag_err
redact_init(struct redact *r, struct ag_ctx *ctx)
{
	unsigned count = ag_config_count(ctx, "audit.redact");

	if (count > REDACT_RULES_MAX)
		return AG_USAGE;
	for (unsigned i = 0; i < count; i++) {
		r->rules[i].operation =
		    ag_config_str(ctx, "audit.redact[].operation", i);
		r->rules[i].field = ag_config_str(ctx, "audit.redact[].field", i);
	}
	r->rule_count = count;
	return AG_OK;
}

void
redact_fini(struct redact *r)
{
	ag_secret_free(&r->key);
}
