/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handler may look at and say about the message that it works on: kept
 * with its trip until that ends (answer.c).
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- accessors */

const Ag__Envelope *
ag_env(struct ag_ctx *ctx)
{
	return ctx->trip == NULL ? NULL : ctx->trip->env;
}

const Ag__Grant *
ag_grant(struct ag_ctx *ctx)
{
	return ctx->trip == NULL ? NULL : ctx->trip->grant;
}

const uint8_t *
ag_body(struct ag_ctx *ctx, size_t *len)
{
	*len = ctx->trip->body_len;
	return ctx->trip->body;
}

uint16_t
ag_type(struct ag_ctx *ctx)
{
	return ctx->trip->type;
}

unsigned
ag_from(struct ag_ctx *ctx)
{
	return ctx->trip->from;
}

enum ag_role
ag_from_role(struct ag_ctx *ctx)
{
	return ag_slot_role(ctx, ctx->trip->from);
}

/* ----------------------------------------------------------------- notes */

static void
replace(char **at, const char *value)
{
	if (value == NULL)
		return;
	free(*at);
	*at = strdup(value);
}

ag_err
ag_refuse(struct ag_ctx *ctx, ag_err err, const char *reason_code,
    const char *field, const char *fmt, ...)
{
	Ag__Refusal *r;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ctx->refuse_detail, sizeof(ctx->refuse_detail), fmt, ap);
	va_end(ap);
	if (ctx->trip == NULL)
		return err;
	r = &ctx->trip->refusal;
	r->err = err;
	free(r->reason_code);
	r->reason_code = NULL;
	free(r->field);
	r->field = NULL;
	replace(&r->reason_code, reason_code);
	replace(&r->field, field);
	replace(&r->detail, ctx->refuse_detail);
	return err;
}

char *
ag_pointer(struct ag_ctx *ctx, const char *member, const char *name)
{
	enum { NAME_MAX_BYTES = 96 };
	char escaped[2 * NAME_MAX_BYTES + 1];
	size_t len = strlen(name), at = 0;

	if (len > NAME_MAX_BYTES) /* at a whole character (UTF-8) */
		for (len = NAME_MAX_BYTES; len > 0 &&
		    ((uint8_t)name[len] & 0xc0) == 0x80;)
			len--;
	for (size_t i = 0; i < len; i++) {
		bool escape = name[i] == '~' || name[i] == '/';

		if (escape)
			escaped[at++] = '~';
		escaped[at++] = !escape ? name[i] : name[i] == '~' ? '0' : '1';
	}
	escaped[at] = '\0';
	return ag_printf(ctx, "/%s/%s", member, escaped);
}

void
ag_refuse_hint(struct ag_ctx *ctx, const char *hint)
{
	if (ctx->trip != NULL)
		replace(&ctx->trip->refusal.hint, hint);
}

void
ag_refuse_rule(struct ag_ctx *ctx, const char *rule)
{
	if (ctx->trip != NULL)
		replace(&ctx->trip->refusal.rule, rule);
}

void
ag_refuse_retry(struct ag_ctx *ctx, unsigned retry_after_s)
{
	if (ctx->trip == NULL)
		return;
	ctx->trip->refusal.has_retry_after_s = true;
	ctx->trip->refusal.retry_after_s = retry_after_s;
}

void
ag_refuse_challenge(struct ag_ctx *ctx, const char *challenge_id,
    int64_t expires_at)
{
	if (ctx->trip == NULL)
		return;
	replace(&ctx->trip->refusal.challenge_id, challenge_id);
	ctx->trip->refusal.has_expires_at = true;
	ctx->trip->refusal.expires_at = expires_at;
}

void
ag_refuse_methods(struct ag_ctx *ctx, unsigned methods)
{
	if (ctx->trip == NULL)
		return;
	ctx->trip->refusal.has_methods = true;
	ctx->trip->refusal.methods = methods;
}

void
ag_refuse_approval(struct ag_ctx *ctx, const char *approval_id,
    int64_t expires_at)
{
	if (ctx->trip == NULL)
		return;
	replace(&ctx->trip->refusal.approval_id, approval_id);
	ctx->trip->refusal.has_expires_at = true;
	ctx->trip->refusal.expires_at = expires_at;
}

const Ag__Refusal *
ag_refusal(struct ag_ctx *ctx)
{
	return &ctx->status_refusal;
}

void
ag_note_resource(struct ag_ctx *ctx, const char *type, const char *id,
    const char *alias)
{
	struct ag_trip *trip = ctx->trip;

	if (trip == NULL)
		return;
	replace(&trip->resource_type, type);
	replace(&trip->resource_id, id);
	replace(&trip->resource_alias, alias);
}

void
ag_note_param(struct ag_ctx *ctx, const char *key, const char *value)
{
	struct ag_trip *trip = ctx->trip;
	Ag__Pair *pair;

	if (trip == NULL || trip->param_count == NOTES_MAX)
		return;
	pair = &trip->params[trip->param_count];
	ag__pair__init(pair);
	pair->key = strdup(key);
	pair->value = value == NULL ? NULL : strdup(value);
	if (pair->key != NULL)
		trip->param_count++;
	else
		free(pair->value);
}

void
ag_note_items(struct ag_ctx *ctx, uint32_t items, uint32_t failed)
{
	if (ctx->trip == NULL)
		return;
	ctx->trip->has_items = true;
	ctx->trip->items = items;
	ctx->trip->failed = failed;
}

void
ag_note_reason(struct ag_ctx *ctx, const char *reason)
{
	if (ctx->trip != NULL)
		replace(&ctx->trip->reason, reason);
}

static const ProtobufCBinaryData *
request_id(struct ag_ctx *ctx)
{
	if (ctx->trip == NULL)
		return NULL;
	if (ctx->trip->grant != NULL)
		return &ctx->trip->grant->request_id;
	if (ctx->trip->env != NULL && ctx->trip->env->request != NULL)
		return &ctx->trip->env->request->request_id;
	return NULL;
}

const char *
ag_outcome_id(struct ag_ctx *ctx)
{
	const ProtobufCBinaryData *id = request_id(ctx);
	char *text;

	if (id == NULL || id->len != AG_UUID_BYTES)
		return NULL;
	text = ag_alloc(ctx, AG_ID_SIZE);
	if (text != NULL)
		ag_id_from_uuid("evt", id->data, text);
	return text;
}

ag_err
ag_if_match(struct ag_ctx *ctx, uint64_t revision)
{
	const Ag__Grant *grant = ag_grant(ctx);
	char want[32];

	if (grant == NULL || grant->if_match == NULL ||
	    strcmp(grant->if_match, "*") == 0)
		return AG_OK;
	snprintf(want, sizeof(want), "\"%llu\"", (unsigned long long)revision);
	if (strcmp(grant->if_match, want) == 0)
		return AG_OK;
	return ag_refuse(ctx, AG_PRECONDITION_FAILED, NULL, "If-Match",
	    "the resource is at revision %s", want);
}
