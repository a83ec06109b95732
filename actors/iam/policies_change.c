/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy documents, changed: validated, put, deleted, rolled back. A document is
 * checked, and the set that it makes with the others compiled, on the worker
 * thread, since that takes a while; it is refused whole with the place of the
 * first error, and what was in force stays. Changes of one tenant go one by
 * one, so that its version counts them, and its other documents stay put while
 * the worker reads them.
 */
#include "candidate.h"
#include "exec.h"
#include "handlers.h"
#include "policies.h"
#include "rulebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- checking */

/* A document on its way through the worker. Owned by the continuation. */
struct job {
	const struct ag_cedar_schema *schema;
	char name[AG_NAME_MAX + 1];
	char *text, *reason; /* text NULL: it is deleted; reason NULL: none */
	char *signature;     /* NULL: none */
	uint64_t restored_from; /* 0: it is a new text */
	struct ag_rules_findings found;
	/* What the set is to be made of; none: only the text is checked. Copies:
	 * what another node changes is taken while the worker reads. */
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX];
	char *copies;
	size_t doc_count;
	bool compiles;
	struct ag_rules *rules;
	uint8_t digest[32];
};

static void
job_free(void *arg)
{
	struct job *job = arg;

	if (job == NULL)
		return;
	ag_rules_free(&job->rules);
	free(job->text);
	free(job->reason);
	free(job->signature);
	free(job->copies);
	free(job);
}

/* NULL stays NULL. */
static bool
copied(char **out, const char *text)
{
	*out = text == NULL ? NULL : strdup(text);
	return text == NULL || *out != NULL;
}

static struct job *
job_new(const struct iam *iam, const char *name, const char *text,
    const char *reason, const char *signature)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->schema = iam->schema;
	snprintf(job->name, sizeof(job->name), "%s", name);
	if (copied(&job->text, text) && copied(&job->reason, reason) &&
	    copied(&job->signature, signature))
		return job;
	job_free(job);
	return NULL;
}

/* In the order of names: of several policies that decide, the first is named. */
static void
insert(struct job *job, const struct ag_rules_doc *doc)
{
	size_t i = job->doc_count++;

	for (; i > 0 && strcmp(job->docs[i - 1].name, doc->name) > 0; i--)
		job->docs[i] = job->docs[i - 1];
	job->docs[i] = *doc;
}

static ag_err
work(void *arg)
{
	struct job *job = arg;
	struct ag_rules_doc doc = { job->name, job->text,
		job->text == NULL ? 0 : strlen(job->text) };

	if (job->text != NULL && ag_rules_check(job->schema, &doc,
	    &job->found) != AG_CEDAR_OK)
		return AG_NO_MEMORY;
	if (!job->compiles || job->found.errors > 0)
		return AG_OK;
	if (job->text != NULL)
		insert(job, &doc);
	iam_rules_digest(job->docs, job->doc_count, job->digest);
	return ag_rules_new(job->docs, job->doc_count, &job->rules) ==
	    AG_CEDAR_OK ? AG_OK : AG_NO_MEMORY;
}

static ag_err
start(struct ag_ctx *ctx, struct job *job, ag_then *then)
{
	ag_err err;

	if (job == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_work(ctx, work, job, then)) != AG_PENDING)
		job_free(job);
	return err;
}

static ag_err
on_validated(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct job *job = memo;
	Ag__PolicyValidateReply reply = AG__POLICY_VALIDATE_REPLY__INIT;
	const struct ag_rules_findings *found = &job->found;
	ag_err err = status;

	reply.findings = iam_findings_say(ctx, found);
	reply.n_findings = found->count;
	if (err == AG_OK && reply.findings == NULL)
		err = AG_NO_MEMORY;
	reply.valid = found->errors == 0;
	reply.policies = (uint32_t)found->policies;
	if (err == AG_OK)
		err = ag_reply(ctx, AG_MSG_POLICY_VALIDATE, &reply);
	job_free(job);
	return err;
}

ag_err
iam_on_policy_validate(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicyValidateAsk *ask = msg;

	return start(ctx, job_new(state, "policy", ask->text, NULL, NULL),
	    on_validated);
}

/* ---------------------------------------------------------------- changing */

/* Changes of a tenant's documents go one by one. */
static ag_err
subject(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *caller,
    const char **name, const struct iam_doc **doc)
{
	const char *stream;
	ag_err err;

	if ((err = iam_caller(iam, ctx, caller)) != AG_OK ||
	    (err = iam_policy_name(ctx, name)) != AG_OK)
		return err;
	stream = ag_printf(ctx, "policies:%s", caller->tenant->name);
	if (stream == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	*doc = iam_doc_find(caller->tenant, *name);
	return ag_if_match(ctx, *doc == NULL ? 0 : (*doc)->version);
}

/* Is there room for this text in the place of the old one? */
static ag_err
check_room(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct iam_doc *doc,
    const struct job *job)
{
	size_t bytes = job->text == NULL ? 0 : strlen(job->text);
	struct iam_rules_size size = { .documents = 1, .policies =
		job->found.policies, .bytes = bytes, .names = doc == NULL,
		.bytes_of_all = iam->rules_bytes + bytes };
	const struct iam_doc *d = tenant->book == NULL ? NULL :
	    tenant->book->docs;

	for (; d != NULL; d = d->next) {
		if (d == doc || d->text == NULL)
			continue;
		size.bytes += d->len;
		size.policies += d->policies;
		size.documents++;
	}
	if (doc != NULL)
		size.bytes_of_all -= doc->len;
	else if (tenant->book != NULL)
		size.names += tenant->book->count;
	return iam_rules_fit(ctx, &size, "/text");
}

static char *
copy(char **to, const char *bytes, size_t len)
{
	char *at = memcpy(*to, bytes, len);

	at[len] = '\0';
	*to += len + 1;
	return at;
}

/* The documents that are in force, but for the one that changes. */
static bool
copy_docs(struct job *job, const struct iam_rulebook *book,
    const struct iam_doc *but)
{
	const struct iam_doc *first = book == NULL ? NULL : book->docs, *d;
	size_t bytes = 1;
	char *to;

	for (d = first; d != NULL; d = d->next)
		if (d != but && d->text != NULL)
			bytes += strlen(d->name) + d->len + 2;
	if ((to = job->copies = malloc(bytes)) == NULL)
		return false;
	for (d = first; d != NULL; d = d->next)
		if (d != but && d->text != NULL) {
			struct ag_rules_doc *doc = &job->docs[job->doc_count++];

			doc->name = copy(&to, d->name, strlen(d->name));
			doc->text = copy(&to, d->text, d->len);
			doc->len = d->len;
		}
	return true;
}

static ag_then on_checked;

/* To the worker, with the other documents that are in force. */
static ag_err
change(struct iam *iam, struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const struct iam_doc *doc, struct job *job)
{
	ag_err err;

	if (job == NULL)
		return AG_NO_MEMORY;
	err = check_room(iam, ctx, tenant, doc, job);
	if (err == AG_OK && !copy_docs(job, tenant->book, doc))
		err = AG_NO_MEMORY;
	if (err != AG_OK) {
		job_free(job);
		return err;
	}
	job->compiles = true;
	return start(ctx, job, on_checked);
}

static ag_err
persist(struct ag_ctx *ctx, const struct iam_caller *caller,
    const struct iam_doc *doc, Ag__PolicyFact *fact)
{
	const struct iam_rulebook *book = caller->tenant->book;
	uint64_t version = doc == NULL ? 0 : doc->version;
	const char *stream = ag_printf(ctx, "policy:%s/%s",
	    caller->tenant->name, fact->name);
	const char *all = ag_printf(ctx, "policies:%s", caller->tenant->name);
	Ag__NameTakenFact counted = AG__NAME_TAKEN_FACT__INIT;
	struct ag_fact facts[2];
	Ag__Policy *view;

	fact->by = (char *)caller->id;
	fact->policy_version = (book == NULL ? 0 : book->version) + 1;
	fact->revision = version + 1;
	view = iam_policy_view(ctx, fact, true);
	if (stream == NULL || all == NULL || view == NULL)
		return AG_NO_MEMORY;
	/* A change that was given up for lost and committed after all took the
	 * number: then this one conflicts. */
	counted.tenant = caller->tenant->name;
	counted.name = fact->name;
	counted.id = ag_printf(ctx, "%llu",
	    (unsigned long long)fact->policy_version);
	if (counted.id == NULL)
		return AG_NO_MEMORY;
	ag_note_param(ctx, "sha256_before", doc == NULL || doc->text == NULL ?
	    NULL : iam_policy_sha(ctx, doc->text));
	ag_note_param(ctx, "sha256_after", fact->text == NULL ? NULL :
	    view->sha256);
	facts[0] = (struct ag_fact){ stream, version, AG_MSG_POLICY_FACT, fact };
	facts[1] = (struct ag_fact){ all, fact->policy_version - 1,
		AG_MSG_NAME_TAKEN_FACT, &counted };
	return ag_persist(ctx, facts, 2, ag_type(ctx), view, NULL, NULL, NULL, 0);
}

static ag_err
keep(struct iam *iam, struct ag_ctx *ctx, void *arg)
{
	struct job *job = arg;
	Ag__PolicyFact fact = AG__POLICY_FACT__INIT;
	const struct iam_doc *doc;
	struct iam_caller caller;
	const char *name;
	ag_err err;

	/* The lock is held since before the check; the caller may be gone. */
	if ((err = subject(iam, ctx, &caller, &name, &doc)) != AG_OK)
		return err;
	if (job->found.errors > 0)
		return iam_findings_refuse(ctx, &job->found, "/text");
	if ((err = check_room(iam, ctx, caller.tenant, doc, job)) != AG_OK)
		return err;
	fact.name = (char *)name;
	fact.tenant = caller.tenant->name;
	fact.at = caller.now;
	fact.state = (char *)(job->text == NULL ? "deleted" : "active");
	fact.text = job->text == NULL ? NULL : ag_strdup(ctx, job->text);
	fact.reason = job->reason == NULL ? NULL : ag_strdup(ctx, job->reason);
	fact.has_policies = job->text != NULL;
	fact.policies = (uint32_t)job->found.policies;
	fact.has_restored_from = job->restored_from != 0;
	fact.restored_from = job->restored_from;
	fact.signature = job->signature == NULL ? NULL :
	    ag_strdup(ctx, job->signature);
	if ((job->text != NULL && fact.text == NULL) ||
	    (job->signature != NULL && fact.signature == NULL))
		return AG_NO_MEMORY;
	fact.has_signed_version = doc != NULL && doc->signed_version > 0;
	fact.signed_version = doc == NULL ? 0 : doc->signed_version;
	if ((err = iam_signed_refuse(iam, ctx, doc, &fact,
	    "/signature")) != AG_OK)
		return err;
	iam_rules_offer(caller.tenant, &job->rules, job->digest);
	return persist(ctx, &caller, doc, &fact);
}

static ag_err
on_checked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	return iam_job_done(state, ctx, status, memo, keep, job_free);
}

ag_err
iam_on_policy_set(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicySetAsk *ask = msg;
	const struct iam_doc *doc;
	struct iam_caller caller;
	const char *name;
	ag_err err;

	if (ask->reason != NULL && (err = iam_reason(ctx, ask->reason)) != AG_OK)
		return err;
	if ((err = subject(state, ctx, &caller, &name, &doc)) != AG_OK)
		return err;
	return change(state, ctx, caller.tenant, doc, job_new(state, name,
	    ask->text, ask->reason, ask->signature));
}

ag_err
iam_on_policy_rollback(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicyRollbackAsk *ask = msg;
	const struct iam_doc *doc;
	struct iam_caller caller;
	Ag__PolicyFact *old;
	struct job *job;
	const char *name;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = subject(state, ctx, &caller, &name, &doc)) != AG_OK)
		return err;
	if (doc == NULL)
		return iam_policy_missing(ctx);
	err = iam_policy_row(ctx, caller.tenant->name, name, ask->version, &old);
	if (err == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/version",
		    "There is no such version, or it is no longer kept.");
	if (err != AG_OK)
		return err;
	if (old->text == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/version", "That version is the deletion; DELETE does it.");
	if ((job = job_new(state, name, old->text, ask->reason,
	    NULL)) != NULL)
		job->restored_from = ask->version;
	return change(state, ctx, caller.tenant, doc, job);
}

ag_err
iam_on_policy_delete(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicyDeleteAsk *ask = msg;
	const struct iam_doc *doc;
	struct iam_caller caller;
	const char *name;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = subject(state, ctx, &caller, &name, &doc)) != AG_OK)
		return err;
	if (doc == NULL || doc->text == NULL)
		return iam_policy_missing(ctx);
	return change(state, ctx, caller.tenant, doc, job_new(state, name, NULL,
	    ask->reason, ask->signature));
}
