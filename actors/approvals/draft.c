/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request for approval, made of what iam and risk vouch for. What the caller
 * says of itself stands apart, in `claims`, without a character that a
 * terminal would obey: a person who decides must not take it for a fact.
 */
#include "approvals.h"

#include <aegis/bytes.h>

#include <stdio.h>
#include <string.h>

bool
draft_about(struct ag_ctx *ctx, struct draft_about *out)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const Ag__Ahead *ahead = grant->op == AG_MSG_APPROVAL_REQUEST ?
	    grant->ahead : NULL;

	*out = (struct draft_about){
		.op = ag_operation_find((uint16_t)(ahead == NULL ? grant->op :
		    ahead->op)),
		.digest = ahead == NULL ? &grant->body_digest : &ahead->digest,
		.needs = ahead == NULL ? grant->needs : ahead->needs,
		.n_needs = ahead == NULL ? grant->n_needs : ahead->n_needs,
	};
	return out->op != NULL && out->n_needs > 0 &&
	    grant->actor_id != NULL && out->digest->len == APPROVAL_MATCH;
}

/* An id that iam made for this request alone says nothing about what it is
 * about. */
static const char *
resource_of(const Ag__Grant *grant, const struct ag_operation *op)
{
	if ((op->flags & AG_OP_ALL) != 0 && op->kind == AG_KIND_KEY)
		return "*";
	return grant->resource_id == NULL ? "" : grant->resource_id;
}

ag_err
draft_match(struct ag_ctx *ctx, uint8_t match[APPROVAL_MATCH])
{
	const Ag__Grant *grant = ag_grant(ctx);
	uint8_t both[2 * APPROVAL_MATCH];
	struct draft_about about;
	const char *text;

	if (!draft_about(ctx, &about))
		return AG_BAD_MESSAGE;
	text = ag_printf(ctx, "%s\n%s\n%u\n%s\n%s", grant->tenant,
	    grant->actor_id, (unsigned)about.op->type,
	    resource_of(grant, about.op),
	    grant->scope_op == NULL ? "" : grant->scope_op);
	if (text == NULL)
		return AG_NO_MEMORY;
	ag_sha256(text, strlen(text), both);
	memcpy(both + APPROVAL_MATCH, about.digest->data, APPROVAL_MATCH);
	ag_sha256(both, sizeof(both), match);
	return AG_OK;
}

static char *
said(struct ag_ctx *ctx, const char *text)
{
	char *copy;

	if (text == NULL || (copy = ag_printf(ctx, "%.*s", APPROVAL_TEXT_MAX,
	    text)) == NULL)
		return NULL;
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	return copy;
}

static Ag__ApprovalClaims *
claims(struct ag_ctx *ctx, const Ag__Grant *grant)
{
	Ag__ApprovalClaims *c = ag_alloc(ctx, sizeof(*c));

	if (c == NULL)
		return NULL;
	ag__approval_claims__init(c);
	c->reason = said(ctx, grant->said);
	c->label = said(ctx, grant->actor_label);
	c->model = said(ctx, grant->model_asserted != NULL ?
	    grant->model_asserted : grant->actor_model);
	c->user_agent = said(ctx, grant->user_agent);
	c->client_request_id = said(ctx, grant->client_request_id);
	return c;
}

static Ag__Link *
requester(struct ag_ctx *ctx, const Ag__Grant *grant)
{
	Ag__Link *link = ag_alloc(ctx, sizeof(*link));

	if (link == NULL)
		return NULL;
	ag__link__init(link);
	link->id = grant->actor_id;
	link->kind = grant->actor_kind;
	link->name = grant->actor_name;
	return link;
}

static Ag__Resource *
resource(struct ag_ctx *ctx, const Ag__Grant *grant)
{
	Ag__Resource *r = ag_alloc(ctx, sizeof(*r));

	if (r == NULL)
		return NULL;
	ag__resource__init(r);
	r->type = grant->resource_type;
	r->id = grant->resource_id;
	r->alias = grant->resource_alias;
	return r;
}

static void
where(struct ag_ctx *ctx, const struct draft_about *about,
    const Ag__Grant *grant, Ag__Approval *a)
{
	const Ag__Verdict *verdict = ag_env(ctx)->verdict;

	a->has_body_sha256_b64 = true;
	a->body_sha256_b64 = *about->digest;
	a->plane = (char *)ag_slot_name(ctx, grant->plane);
	a->source_address = grant->source_address;
	a->has_risk_score = verdict != NULL;
	a->risk_score = verdict == NULL ? 0 : verdict->score;
}

Ag__Approval *
draft_new(const struct approvals *state, struct ag_ctx *ctx,
    const uint8_t match[APPROVAL_MATCH])
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__Approval *a = ag_alloc(ctx, sizeof(*a));
	char *id = ag_alloc(ctx, AG_ID_SIZE);
	struct draft_about about;

	if (a == NULL || id == NULL || !draft_about(ctx, &about))
		return NULL;
	ag__approval__init(a);
	ag_id_new(ctx, "apr", id);
	a->id = id;
	a->state = (char *)approval_state_name(APPROVAL_PENDING);
	a->operation = (char *)about.op->operation;
	a->resource = resource(ctx, grant);
	a->requester = requester(ctx, grant);
	a->claims = claims(ctx, grant);
	a->chain = grant->chain;
	a->n_chain = grant->n_chain;
	a->needs = about.needs;
	a->n_needs = about.n_needs;
	a->asked = grant->asked;
	a->n_asked = grant->n_asked;
	a->behind = grant->behind;
	a->n_behind = grant->n_behind;
	a->requested_at = ag_now_ms(ctx);
	a->expires_at = a->requested_at + state->ttl_ms;
	a->request_id = (char *)ag_outcome_id(ctx);
	a->tenant = grant->tenant;
	a->has_match = true;
	a->match.data = (uint8_t *)match;
	a->match.len = APPROVAL_MATCH;
	where(ctx, &about, grant, a);
	return a->resource == NULL || a->requester == NULL ||
	    a->claims == NULL || a->request_id == NULL ? NULL : a;
}

char *
draft_needs(struct ag_ctx *ctx, const Ag__Approval *a)
{
	char *out = ag_strdup(ctx, "");

	for (size_t i = 0; out != NULL && i < a->n_needs; i++)
		out = ag_printf(ctx, "%s%s%u of %s", out, i == 0 ? "" : ", ",
		    a->needs[i]->quorum, a->needs[i]->group[0] == '\0' ?
		    "system:*:approve" : a->needs[i]->group);
	return out;
}

size_t
draft_asked(struct ag_ctx *ctx, const Ag__Approval *a,
    Ag__Pair pairs[DRAFT_ASKED_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_asked && n < DRAFT_ASKED_MAX - 1; i++) {
		char *name = ag_printf(ctx, "asked.%s", a->asked[i]->key);

		if (name != NULL && a->asked[i]->value != NULL)
			decide_pair(&pairs[n++], name, a->asked[i]->value);
	}
	if (n < a->n_asked)
		decide_pair(&pairs[n++], "asked.more", "true");
	return n;
}

void
draft_note(struct ag_ctx *ctx, const Ag__Approval *a)
{
	Ag__Pair asked[DRAFT_ASKED_MAX];
	size_t n = draft_asked(ctx, a, asked);
	char at[AG_TIME_TEXT];

	ag_time_text(a->expires_at, at);
	ag_note_param(ctx, "needs", draft_needs(ctx, a));
	ag_note_param(ctx, "expires_at", at);
	for (size_t i = 0; i < n; i++)
		ag_note_param(ctx, asked[i].key, asked[i].value);
	if (a->claims->reason != NULL)
		ag_note_param(ctx, "said", a->claims->reason);
}
