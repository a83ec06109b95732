/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policies: a folder, like a checked-out branch, whose policies are in force.
 * Hears nothing. Says policy_offer_ask (iam): all documents of the folder,
 * together.
 * Keeps nothing: after a start it offers what is there, and iam knows whether
 * that is new. It reads the folder and lints it, so that neither is work of the
 * process that decides; whether a set is valid, signed and small enough iam
 * says. What is refused is refused whole, and alerts: what was in force stays.
 *
 * A folder is taken when it looked the same twice, so that a checkout that is
 * under way is not taken half.
 */
#include "policies/folder.h"

#include <aegis/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOOK_MS = 500,
	AGAIN_MS = 10000,     /* what somebody else changed is put back */
	OFFER_TIMEOUT_MS = 20000,
};

enum { M_OFFERED, M_REFUSED };

struct policies {
	const char *path, *tenant;
	struct ag_cedar_schema *schema;
	uint8_t seen[32];  /* how it looked last */
	uint8_t taken[32]; /* how it looked when it was offered or refused */
	uint64_t taken_at; /* ag_mono_ms; 0: never */
	bool busy;
	uint8_t refused[32]; /* of the problem that was told last */
};

/* ----------------------------------------------------------------- telling */

/* Once for each problem: the event's id follows from it and the folder. */
static void
alert(struct policies *p, struct ag_ctx *ctx, const char *reason,
    const char *problem)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *params[1] = { &pair };
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	char cause[FOLDER_PROBLEM + 64], look[65], id[AG_ID_SIZE];

	ag_hex(p->taken, sizeof(p->taken), look);
	snprintf(cause, sizeof(cause), "%.32s %llu %s", look,
	    (unsigned long long)ag_boot(ctx), problem);
	ag_id_derive("evt", "policy.offer", cause, id);
	refusal.err = AG_INVALID_FIELD;
	refusal.reason_code = (char *)reason;
	pair.key = (char *)"problem";
	pair.value = (char *)problem;
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__denied;
	out.operation = (char *)"policy.offer";
	out.tenant = (char *)p->tenant;
	out.resource_type = (char *)"policy";
	out.refusal = &refusal;
	out.params = params;
	out.n_params = 1;
	out.event_id = id;
	if (ag_record(ctx, &out) != AG_OK)
		ag_log(ctx, AG_WARN, "POLICY-FOLDER-UNRECORDED", "why=%s",
		    problem);
}

static void
refuse(struct policies *p, struct ag_ctx *ctx, const char *reason,
    const char *problem)
{
	uint8_t digest[32];

	ag_sha256(problem, strlen(problem), digest);
	ag_set_degraded(ctx, "the folder is refused");
	if (memcmp(digest, p->refused, sizeof(digest)) == 0)
		return;
	memcpy(p->refused, digest, sizeof(digest));
	ag_metric_add(ctx, M_REFUSED, 1);
	ag_note_error(ctx, problem);
	ag_log(ctx, AG_ERROR, "POLICY-FOLDER-REFUSED", "tenant=%s reason=%s "
	    "problem=%s", p->tenant, reason, problem);
	alert(p, ctx, reason, problem);
}

static void
is_good(struct policies *p, struct ag_ctx *ctx)
{
	ag_set_degraded(ctx, NULL);
	memset(p->refused, 0, sizeof(p->refused));
}

/* ---------------------------------------------------------------- offering */

/* What a worker reads and lints. */
struct job {
	char *path;
	const struct ag_cedar_schema *schema;
	struct folder *folder;
	struct ag_rules_findings found;
	char problem[FOLDER_PROBLEM];
};

static void
job_free(struct job *job)
{
	folder_free(&job->folder);
	free(job->path);
	free(job);
}

/* "base.cedar:2:18: …" of the first, errors before the rest. */
static void
say_finding(struct job *job)
{
	const struct ag_rules_finding *f = &job->found.items[0];

	for (size_t i = 0; i < job->found.count && !f->is_error; i++)
		if (job->found.items[i].is_error)
			f = &job->found.items[i];
	snprintf(job->problem, sizeof(job->problem), "%.*s" FOLDER_ENDING
	    ":%u:%u: %s: %s", (int)strcspn(f->rule, "/"), f->rule, f->line,
	    f->column, f->is_error ? "error" : f->kind != NULL ? f->kind :
	    "warning", f->text);
}

static ag_err
work(void *arg)
{
	struct job *job = arg;
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX];
	size_t n = 0;

	if ((job->folder = folder_read(job->path, job->problem)) == NULL)
		return AG_OK;
	for (size_t i = 0; i < job->folder->count; i++) {
		const struct folder_doc *d = &job->folder->docs[i];

		if (d->text != NULL)
			docs[n++] = (struct ag_rules_doc){ d->name, d->text,
				d->len };
	}
	if (n > 0 && ag_rules_lint(job->schema, docs, n, &job->found) !=
	    AG_CEDAR_OK)
		return AG_NO_MEMORY;
	if (job->found.count > 0)
		say_finding(job);
	return AG_OK;
}

static ag_err
on_offered(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__PolicyOfferReply *reply = msg;
	const Ag__Refusal *why = ag_refusal(ctx);
	struct policies *p = state;
	char problem[FOLDER_PROBLEM];

	(void)memo;
	p->busy = false;
	if (status == AG_OK) {
		is_good(p, ctx);
		if (reply->changed > 0)
			ag_log(ctx, AG_INFO, "POLICY-FOLDER", "tenant=%s version=%llu "
			    "changed=%u", p->tenant,
			    (unsigned long long)reply->policy_version,
			    reply->changed);
		ag_metric_add(ctx, M_OFFERED, reply->changed > 0);
		return AG_OK;
	}
	/* Not its fault: again with the next look. */
	if (status != AG_INVALID_FIELD && status != AG_PERMISSION_DENIED &&
	    status != AG_RATE_LIMITED && status != AG_ITEM_NOT_FOUND) {
		p->taken_at = 0;
		ag_log(ctx, AG_WARN, "POLICY-FOLDER-LATER", "err=%s",
		    ag_err_row(status)->name);
		return AG_OK;
	}
	snprintf(problem, sizeof(problem), "%s%s%s",
	    why->field == NULL ? "" : why->field, why->field == NULL ? "" :
	    FOLDER_ENDING ": ", why->detail == NULL ? "" : why->detail);
	refuse(p, ctx, why->reason_code == NULL ? "refused" : why->reason_code,
	    problem);
	return AG_OK;
}

static ag_err
offer(struct policies *p, struct ag_ctx *ctx, const struct folder *folder)
{
	Ag__PolicyOfferAsk ask = AG__POLICY_OFFER_ASK__INIT;
	Ag__PolicyOfferDoc *docs = ag_alloc(ctx,
	    (folder->count + 1) * sizeof(*docs));

	ask.tenant = (char *)(uintptr_t)p->tenant;
	ask.documents = ag_alloc(ctx,
	    (folder->count + 1) * sizeof(*ask.documents));
	if (docs == NULL || ask.documents == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < folder->count; i++) {
		ag__policy_offer_doc__init(&docs[i]);
		docs[i].name = (char *)(uintptr_t)folder->docs[i].name;
		docs[i].text = folder->docs[i].text;
		docs[i].signature = folder->docs[i].signature;
		ask.documents[ask.n_documents++] = &docs[i];
	}
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_IAM, 0),
	    AG_MSG_POLICY_OFFER_ASK, &ask, AG_MSG_POLICY_OFFER_REPLY,
	    OFFER_TIMEOUT_MS, on_offered, NULL, 0);
}

static ag_err
on_read(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct policies *p = state;
	struct job *job = memo;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK && job->problem[0] != '\0') {
		refuse(p, ctx, job->found.count > 0 ? "bad_policy" :
		    "bad_folder", job->problem);
		p->busy = false;
	} else if (err == AG_OK) {
		err = offer(p, ctx, job->folder);
	}
	if (err != AG_OK && err != AG_PENDING) {
		p->busy = false;
		p->taken_at = 0;
	}
	job_free(job);
	return AG_OK;
}

/* ----------------------------------------------------------------- looking */

static void
take(struct policies *p, struct ag_ctx *ctx)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL || (job->path = strdup(p->path)) == NULL) {
		free(job);
		return;
	}
	job->schema = p->schema;
	memcpy(p->taken, p->seen, sizeof(p->taken));
	p->taken_at = ag_mono_ms(ctx);
	p->busy = true;
	if (ag_work(ctx, work, job, on_read) == AG_PENDING)
		return;
	job_free(job);
	p->busy = false;
	p->taken_at = 0;
}

static void
on_look(void *state, struct ag_ctx *ctx)
{
	struct policies *p = state;
	char problem[FOLDER_PROBLEM];
	uint8_t look[32];
	bool settled;

	if (p->busy || !ag_slot_up(ctx, ag_slot(ctx, AG_ROLE_IAM, 0)))
		return;
	if (!folder_print(p->path, look, problem)) {
		refuse(p, ctx, "bad_folder", problem);
		return;
	}
	settled = memcmp(look, p->seen, sizeof(look)) == 0;
	memcpy(p->seen, look, sizeof(look));
	if (settled && (p->taken_at == 0 ||
	    memcmp(look, p->taken, sizeof(look)) != 0 ||
	    ag_mono_ms(ctx) >= p->taken_at + AGAIN_MS))
		take(p, ctx);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct policies *p = state;

	p->path = ag_config_str(ctx, "policies.directory", 0);
	p->tenant = ag_config_str(ctx, "policies.tenant", 0);
	return ag_rules_schema_new(&p->schema) != AG_CEDAR_OK ? AG_NO_MEMORY :
	    ag_every(ctx, LOOK_MS, on_look);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct policies *p = state;

	(void)ctx;
	ag_cedar_schema_free(&p->schema);
}

static const struct ag_metric_row metrics[] = {
	[M_OFFERED] = { "policies_offered_total",
	    "Times that a changed folder of policies was put in force",
	    AG_COUNTER },
	[M_REFUSED] = { "policies_refused_total",
	    "Folders of policies that were refused", AG_COUNTER },
};

const struct ag_actor ag_actor_policies = {
	.name = "policies",
	.state_size = sizeof(struct policies),
	.init = init,
	.fini = fini,
	AG_METRICS(metrics),
};
