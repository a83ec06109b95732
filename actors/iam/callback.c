/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A click on a button of a message (sinks/slack.c), as Slack and those like it
 * send it on: the credential is their signature over the body, and who clicked
 * is whom the configuration says that this user is. Nothing comes of it but one
 * decision about one approval, which the approvals take as the person's own.
 * Without approvals.callback.secret_file every click is refused. Outside one
 * refusal looks like another; the event's params.click says which it was.
 */
#include "access.h"
#include "call.h"

#include <aegis/signed.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SKEW_MS = 5 * 60 * 1000,   /* of the signature's time; as Slack advises */
	CLICKS_MAX = 1024,         /* remembered, until they are too old anyway */
	BODY_MAX = 64 << 10,       /* bytes; Slack's are about 4 KiB */
	SEEN_BYTES = 16,           /* of the signature's digest */
	STAMP_MAX = 12,            /* digits */
	USER_MAX = 64,
};

struct person { char *user, *tenant, *principal; };

struct seen {
	uint8_t click[SEEN_BYTES];
	uint8_t request[AG_UUID_BYTES]; /* the trip may come again */
	int64_t until;
};

struct iam_callback {
	struct ag_secret *secret; /* with it the sender of clicks signs them */
	struct ag_secret *button; /* with it our sinks sign what a button says */
	struct person *people;
	unsigned count;
	struct seen seen[CLICKS_MAX];
};

/* ----------------------------------------------------------- configuration */

static ag_err
read_secret(struct ag_ctx *ctx, const char *key, struct ag_secret **out)
{
	const char *path = ag_state_path(ctx, ag_config_str(ctx, key, 0)), *why;

	if (path == NULL) {
		ag_log(ctx, AG_ERROR, "CALLBACK-SECRET", "%s is missing", key);
		return AG_USAGE;
	}
	why = ag_secret_read(path, out);
	if (why == NULL && ag_secret_len(*out) < AG_CLICK_SECRET_MIN)
		why = "shorter than 16 bytes";
	if (why == NULL)
		return AG_OK;
	ag_log(ctx, AG_ERROR, "CALLBACK-SECRET", "file=%s why=%s", path, why);
	return AG_USAGE;
}

static char *
row_text(struct ag_ctx *ctx, const char *path, unsigned row, const char *absent)
{
	const char *text = ag_config_str(ctx, path, row);

	return strdup(text == NULL ? absent : text);
}

static ag_err
read_people(struct iam_callback *callback, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "approvals.callback.people");

	callback->people = calloc(n == 0 ? 1 : n, sizeof(*callback->people));
	if (callback->people == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < n; i++) {
		struct person *p = &callback->people[i];

		callback->count = i + 1;
		p->user = row_text(ctx, "approvals.callback.people[].user", i, "");
		p->tenant = row_text(ctx, "approvals.callback.people[].tenant", i,
		    IAM_FIRST_TENANT);
		p->principal = row_text(ctx,
		    "approvals.callback.people[].principal", i, "");
		if (p->user == NULL || p->tenant == NULL || p->principal == NULL)
			return AG_NO_MEMORY;
		for (unsigned j = 0; j < i; j++)
			if (strcmp(callback->people[j].user, p->user) == 0) {
				ag_log(ctx, AG_ERROR, "CALLBACK-PERSON",
				    "user=%s why=named twice", p->user);
				return AG_USAGE;
			}
	}
	return AG_OK;
}

/* One key for both would let a sink speak for the sender of clicks. */
static ag_err
read_secrets(struct iam_callback *callback, struct ag_ctx *ctx)
{
	ag_err err = read_secret(ctx, "approvals.callback.secret_file",
	    &callback->secret);

	if (err == AG_OK)
		err = read_secret(ctx, "approvals.callback.button_file",
		    &callback->button);
	if (err == AG_OK && ag_secret_len(callback->secret) ==
	    ag_secret_len(callback->button) &&
	    ag_secret_equal(ag_secret_bytes(callback->secret),
	        ag_secret_bytes(callback->button),
	        ag_secret_len(callback->secret))) {
		ag_log(ctx, AG_ERROR, "CALLBACK-SECRET", "approvals.callback."
		    "button_file is the same secret as secret_file");
		err = AG_USAGE;
	}
	return err;
}

ag_err
iam_callback_init(struct iam *iam, struct ag_ctx *ctx)
{
	ag_err err;

	if (ag_config_str(ctx, "approvals.callback.secret_file", 0) == NULL)
		return AG_OK;
	if ((iam->callback = calloc(1, sizeof(*iam->callback))) == NULL)
		return AG_NO_MEMORY;
	err = read_secrets(iam->callback, ctx);
	return err != AG_OK ? err : read_people(iam->callback, ctx);
}

void
iam_callback_fini(struct iam *iam)
{
	struct iam_callback *callback = iam->callback;

	for (unsigned i = 0; callback != NULL && i < callback->count; i++) {
		free(callback->people[i].user);
		free(callback->people[i].tenant);
		free(callback->people[i].principal);
	}
	if (callback != NULL) {
		ag_secret_free(&callback->secret);
		ag_secret_free(&callback->button);
		free(callback->people);
	}
	free(callback);
	iam->callback = NULL;
}

/* ------------------------------------------------------------- the signature */

/* "v0=" and the MAC over "v0:<time>:<body>", as Slack signs what it sends. */
static bool
is_signed(struct iam_callback *callback, const Ag__CallbackAsk *ask)
{
	char head[STAMP_MAX + 8], hex[AG_SIGNED_HEX + 3] = "v0=";

	if (ask->signature == NULL || ask->timestamp == NULL || !ask->has_body ||
	    ask->body.len > BODY_MAX ||
	    strlen(ask->signature) != AG_SIGNED_HEX - 1 + 3 ||
	    strlen(ask->timestamp) > STAMP_MAX ||
	    strspn(ask->timestamp, "0123456789") != strlen(ask->timestamp))
		return false;
	snprintf(head, sizeof(head), "v0:%s:", ask->timestamp);
	return ag_signed_hex(callback->secret, head, ask->body.data,
	    ask->body.len, hex + 3) &&
	    ag_secret_equal(hex, ask->signature, strlen(ask->signature));
}

static bool
is_fresh(const Ag__CallbackAsk *ask, int64_t now)
{
	int64_t at = strtoll(ask->timestamp, NULL, 10) * 1000;

	return at >= now - SKEW_MS && at <= now + SKEW_MS;
}

enum first { FIRST, AGAIN, NO_ROOM };

/* Is it the first time that this signature comes? It is remembered until it is
 * too old to be taken. */
static enum first
remember(struct iam_callback *callback, const struct call *c,
    const Ag__CallbackAsk *ask)
{
	struct seen *free_one = NULL;
	uint8_t digest[32];

	ag_sha256(ask->signature, strlen(ask->signature), digest);
	for (size_t i = 0; i < CLICKS_MAX; i++) {
		struct seen *s = &callback->seen[i];

		if (s->until <= c->now)
			free_one = s;
		else if (memcmp(s->click, digest, SEEN_BYTES) == 0)
			return memcmp(s->request, c->rq->request_id.data,
			    AG_UUID_BYTES) == 0 ? FIRST : AGAIN;
	}
	if (free_one == NULL)
		return NO_ROOM;
	memcpy(free_one->click, digest, SEEN_BYTES);
	memcpy(free_one->request, c->rq->request_id.data, AG_UUID_BYTES);
	free_one->until = c->now + 2 * SKEW_MS;
	return FIRST;
}

/* ------------------------------------------------------------ what it says */

/* What was signed, read here: a form of one member, payload. */
static char *
payload_of(struct call *c, const ProtobufCBinaryData *body)
{
	static const char head[] = "payload=";
	const size_t head_len = sizeof(head) - 1;
	char *text;

	if (body->len <= head_len || memcmp(body->data, head, head_len) != 0 ||
	    memchr(body->data, '&', body->len) != NULL ||
	    memchr(body->data, '\0', body->len) != NULL ||
	    (text = ag_alloc(c->ctx, body->len + 1)) == NULL)
		return NULL;
	memcpy(text, body->data, body->len);
	text[body->len] = '\0';
	text += head_len;
	return ag_percent_decode(text, true) ? text : NULL;
}

/* {"type":"block_actions","user":{"id":…},"actions":[{"value":…}]}, one action. */
static bool
parse(const char *payload, char user[USER_MAX], char value[AG_CLICK_TEXT])
{
	json_t *json = payload == NULL ? NULL :
	    json_loads(payload, JSON_REJECT_DUPLICATES, NULL);
	const char *type = NULL, *id = NULL, *text = NULL;
	bool ok = json != NULL && json_unpack(json, "{s:s, s:{s:s}, s:[{s:s}]}",
	    "type", &type, "user", "id", &id, "actions", "value", &text) == 0 &&
	    json_array_size(json_object_get(json, "actions")) == 1 &&
	    strcmp(type, "block_actions") == 0 && strlen(id) < USER_MAX &&
	    strlen(text) < AG_CLICK_TEXT;

	if (ok) {
		strcpy(user, id);
		strcpy(value, text);
	}
	json_decref(json);
	return ok;
}

static struct iam_node *
person(struct call *c, const char *user)
{
	const struct iam_callback *callback = c->iam->callback;
	struct iam_tenant *tenant;
	struct iam_node *node;

	for (unsigned i = 0; i < callback->count; i++) {
		const struct person *p = &callback->people[i];

		if (strcmp(p->user, user) != 0)
			continue;
		tenant = iam_tenant_find(c->iam, p->tenant);
		node = tenant == NULL ? NULL :
		    iam_principal_find(c->iam, tenant, p->principal);
		return node != NULL && node->kind == AG__KIND__V__human ? node :
		    NULL;
	}
	return NULL;
}

/* From here on it is this person's request about this approval. */
static ag_err
become(struct call *c, struct iam_node *node, const struct ag_click *click)
{
	struct iam_foreign *foreign = ag_alloc(c->ctx, sizeof(*foreign));
	Ag__Request *rq = ag_alloc(c->ctx, sizeof(*rq));

	c->token = ag_alloc(c->ctx, sizeof(*c->token));
	if (foreign == NULL || rq == NULL || c->token == NULL)
		return AG_NO_MEMORY;
	*rq = *c->rq;
	rq->credential = rq->step_up = rq->approval = rq->break_glass = NULL;
	if ((rq->selector = ag_strdup(c->ctx, click->approval)) == NULL)
		return AG_NO_MEMORY;
	c->rq = rq;
	c->grant.scope_op = (char *)(click->yes ? "approve" : "deny");
	foreign->issuer = "callback";
	c->token->foreign = foreign;
	c->token->node = node;
	c->token->issued_at = c->now;
	c->token->expires_at = c->now + 1;
	return AG_OK;
}

static ag_err
refuse(struct call *c, const char *why)
{
	ag_note_param(c->ctx, "click", why);
	return iam_unauthenticated(c, "token_signature",
	    "The click is not accepted.");
}

ag_err
iam_callback_take(struct call *c)
{
	struct iam_callback *callback = c->iam->callback;
	const Ag__CallbackAsk *ask = NULL;
	char user[USER_MAX], value[AG_CLICK_TEXT];
	struct ag_click click;
	struct iam_node *node;
	const uint8_t *body;
	enum first first;
	size_t len;
	ag_err err;

	if ((err = iam_guard_address(c)) != AG_OK)
		return err;
	if (callback == NULL)
		return refuse(c, "off");
	if (c->rq->refusal == NULL && (body = ag_body(c->ctx, &len)) != NULL)
		ask = ag_unpack(c->ctx, &ag__callback_ask__descriptor, body, len);
	if (ask == NULL || !is_signed(callback, ask))
		return refuse(c, "forged");
	if (!is_fresh(ask, c->now))
		return refuse(c, "expired");
	if (!parse(payload_of(c, &ask->body), user, value) ||
	    !ag_click_read(callback->button, value, &click))
		return refuse(c, "altered");
	ag_note_param(c->ctx, "approval_id", click.approval);
	if (click.until <= c->now)
		return refuse(c, "expired");
	if ((node = person(c, user)) == NULL)
		return refuse(c, "unknown_person");
	if ((first = remember(callback, c, ask)) == NO_ROOM)
		return ag_refuse(c->ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "Too many clicks; try again in some minutes.");
	return first == AGAIN ? refuse(c, "replayed") : become(c, node, &click);
}
