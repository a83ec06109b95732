/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lost admin credential: whoever has the fleet's own uid, or is root, may
 * have another (aegis admin-token). The supervisor says the word; the token
 * goes into a file of the state directory, which the command takes away. It is
 * recorded like every other token that is issued.
 */
#include "credentials.h"
#include "exec.h"
#include "iam.h"
#include "rates.h"

#include <stdio.h>
#include <string.h>

enum { RECOVERED_S = 12 * 3600, JTI_HEX = 32 };

static struct iam_node *
some_admin(struct iam *iam, int64_t now)
{
	for (size_t i = 0; i < iam->principals.count; i++) {
		struct iam_node *node = iam->principals.items[i];

		if (node->kind == AG__KIND__V__human &&
		    strcmp(node->tenant->name, IAM_FIRST_TENANT) == 0 &&
		    iam_is_admin(node, now))
			return node;
	}
	return NULL;
}

static ag_err
recovered(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;

	iam->recovering = false;
	if (status == AG_OK)
		ag_tell(ctx, "admin-token done %s", (const char *)memo);
	else
		ag_tell(ctx, "admin-token refused %s", ag_err_row(status)->name);
	return AG_OK;
}

static ag_err
persist(struct ag_ctx *ctx, struct iam_draft *draft)
{
	Ag__TokenIssuedFact *fact = ag_unpack(ctx,
	    &ag__token_issued_fact__descriptor, draft->packed,
	    draft->packed_len);
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	char stream[IAM_STREAM_MAX], event_id[AG_ID_SIZE] = "evt_", *at;
	struct ag_fact facts[1];

	if (fact == NULL)
		return AG_NO_MEMORY;
	/* A token is issued once: its own number names the event. */
	at = event_id + strlen(event_id);
	for (const char *c = draft->jti; *c != '\0'; c++)
		if (*c != '-')
			*at++ = *c;
	*at = '\0';
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"system.admin-token";
	out.tenant = draft->node->tenant->name;
	out.resource_type = (char *)"principal";
	out.resource_id = draft->node->id;
	out.resource_alias = draft->node->name;
	out.event_id = event_id;
	snprintf(stream, sizeof(stream), "token:%s", draft->jti);
	facts[0] = (struct ag_fact){ stream, 0, AG_MSG_TOKEN_ISSUED_FACT, fact };
	return ag_persist_recorded(ctx, facts, 1, &out, recovered, draft->jti,
	    sizeof(draft->jti));
}

/* The file first: a token that is nowhere but in the journal helps nobody. */
static ag_err
recover_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	const char *text = ag_printf(ctx, "%s\n", draft->token);
	ag_err err = text == NULL ? AG_NO_MEMORY : ag_file_put(ctx,
	    IAM_RECOVERED_FILE, text, strlen(text), 0600);

	if (err == AG_OK)
		err = persist(ctx, draft);
	if (err != AG_PENDING)
		(void)recovered(iam, ctx, err, NULL, draft->jti);
	return err == AG_PENDING ? AG_PENDING : AG_OK;
}

/* The root of trust did not sign: the word may be said again. */
static void
recover_unsigned(struct iam *iam, struct ag_ctx *ctx, ag_err err)
{
	(void)recovered(iam, ctx, err, NULL, (char[]){ "" });
}

void
iam_told(void *state, struct ag_ctx *ctx, const char *word)
{
	static const Ag__TokenIssueAsk whole = AG__TOKEN_ISSUE_ASK__INIT;
	struct iam *iam = state;
	struct iam_draft *draft = NULL;
	struct iam_node *node;
	ag_err err;

	if (strncmp(word, "limits ", 7) == 0) {
		iam_rates_told(iam, ctx, word + 7);
		return;
	}
	if (strcmp(word, "admin-token") != 0) {
		ag_log(ctx, AG_WARN, "WORD-UNKNOWN", "%s", word);
		return;
	}
	if (iam->recovering)
		return; /* the one under way answers */
	node = iam->ready ? some_admin(iam, ag_now_ms(ctx)) : NULL;
	if (node == NULL) {
		ag_tell(ctx, "admin-token refused %s",
		    iam->ready ? "nobody" : "starting");
		return;
	}
	ag_log(ctx, AG_WARN, "ADMIN-TOKEN", "principal=%s", node->id);
	iam->recovering = true;
	err = iam_token_draft(iam, ctx, node, &whole, RECOVERED_S, NULL,
	    &draft);
	if (draft != NULL) { /* taken in any case */
		draft->failed = recover_unsigned;
		err = iam_draft_sign(iam, ctx, draft, recover_signed);
	}
	if (err != AG_PENDING && iam->recovering)
		(void)recovered(iam, ctx, err == AG_OK ? AG_GENERAL_FAILURE : err,
		    NULL, (char[]){ "" });
}
