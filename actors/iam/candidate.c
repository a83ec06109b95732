/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that are not in force, beside those that are; and lint of them. */
#include "candidate.h"
#include "exec.h"
#include "handlers.h"
#include "rulebook.h"

#include <stdlib.h>
#include <string.h>

void
iam_candidate_free(struct iam_candidate *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->count; i++) {
		free((char *)(uintptr_t)c->docs[i].name);
		free((char *)(uintptr_t)c->docs[i].text);
	}
	free(c);
}

/* In the order of names: of several policies that decide, the first is named. */
static ag_err
add(struct iam_candidate *c, const char *name, const char *text)
{
	struct ag_rules_doc doc = { strdup(name), strdup(text), strlen(text) };
	size_t i = c->count;

	if (doc.name == NULL || doc.text == NULL) {
		free((char *)(uintptr_t)doc.name);
		free((char *)(uintptr_t)doc.text);
		return AG_NO_MEMORY;
	}
	for (; i > 0 && strcmp(c->docs[i - 1].name, name) > 0; i--)
		c->docs[i] = c->docs[i - 1];
	c->docs[i] = doc;
	c->count++;
	return AG_OK;
}

static const Ag__PolicyDraft *
draft_of(Ag__PolicyDraft *const *drafts, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(drafts[i]->name, name) == 0)
			return drafts[i];
	return NULL;
}

static ag_err
check_drafts(struct ag_ctx *ctx, Ag__PolicyDraft *const *drafts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *field = ag_printf(ctx, "/documents/%zu/name", i);

		if (!ag_name_valid(drafts[i]->name))
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", field,
			    "A policy's name is [a-z0-9][a-z0-9._-]{0,62}.");
		if (draft_of(drafts, i, drafts[i]->name) != NULL)
			return ag_refuse(ctx, AG_INVALID_FIELD,
			    "conflicting_fields", field,
			    "Another document has this name.");
	}
	return AG_OK;
}

static ag_err
fill(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    Ag__PolicyDraft *const *drafts, size_t count, bool alone,
    struct iam_candidate *c)
{
	const struct iam_doc *d = alone || tenant->book == NULL ? NULL :
	    tenant->book->docs;
	ag_err err = AG_OK;
	size_t n = 0;

	for (const struct iam_doc *x = d; x != NULL; x = x->next)
		n += x->text != NULL && draft_of(drafts, count, x->name) == NULL;
	for (size_t i = 0; i < count; i++)
		n += drafts[i]->text != NULL;
	if (n > AG_RULES_DOCS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/documents", "A tenant has at most %d documents.",
		    AG_RULES_DOCS_MAX);
	for (; d != NULL && err == AG_OK; d = d->next)
		if (d->text != NULL && draft_of(drafts, count, d->name) == NULL)
			err = add(c, d->name, d->text);
	for (size_t i = 0; i < count && err == AG_OK; i++)
		if (drafts[i]->text != NULL)
			err = add(c, drafts[i]->name, drafts[i]->text);
	return err;
}

ag_err
iam_candidate_new(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    Ag__PolicyDraft *const *drafts, size_t count, bool alone,
    struct iam_candidate **out)
{
	struct iam_candidate *c;
	ag_err err = check_drafts(ctx, drafts, count);

	*out = NULL;
	if (err != AG_OK)
		return err;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return AG_NO_MEMORY;
	err = fill(ctx, tenant, drafts, count, alone, c);
	if (err != AG_OK)
		iam_candidate_free(c);
	else
		*out = c;
	return err;
}

Ag__PolicyFinding **
iam_findings_say(struct ag_ctx *ctx, const struct ag_rules_findings *found)
{
	Ag__PolicyFinding *items = ag_alloc(ctx,
	    (found->count + 1) * sizeof(*items));
	Ag__PolicyFinding **out = iam_array(ctx, found->count);

	if (items == NULL || out == NULL)
		return NULL;
	for (size_t i = 0; i < found->count; i++) {
		const struct ag_rules_finding *f = &found->items[i];

		ag__policy_finding__init(&items[i]);
		items[i].severity = (char *)(f->is_error ? "error" : "warning");
		items[i].rule = f->rule[0] == '\0' ? NULL : (char *)f->rule;
		items[i].has_line = items[i].has_column = f->line != 0;
		items[i].line = f->line;
		items[i].column = f->column;
		items[i].detail = (char *)f->text;
		items[i].kind = (char *)f->kind;
		out[i] = &items[i];
	}
	return out;
}

ag_err
iam_findings_refuse(struct ag_ctx *ctx, const struct ag_rules_findings *found,
    const char *field)
{
	const struct ag_rules_finding *f = found->items;

	while (!f->is_error)
		f++;
	if (f->line == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", field,
		    "%s", f->text);
	return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", field,
	    "%u:%u: %s%s", f->line, f->column, f->text,
	    found->errors > 1 ? " (and more; validate lists them)" : "");
}

ag_err
iam_rules_fit(struct ag_ctx *ctx, const struct iam_rules_size *size,
    const char *field)
{
	if (size->documents > AG_RULES_DOCS_MAX ||
	    size->policies > AG_RULES_COUNT_MAX ||
	    size->bytes > AG_RULES_TENANT_BYTES_MAX ||
	    size->names > IAM_DOCS_EVER_MAX)
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", field,
		    "A tenant has at most %d policies in %d documents of %d "
		    "bytes in all, and %d names of documents ever.",
		    AG_RULES_COUNT_MAX, AG_RULES_DOCS_MAX,
		    AG_RULES_TENANT_BYTES_MAX, IAM_DOCS_EVER_MAX);
	return size->bytes_of_all > IAM_RULES_BYTES_MAX ? AG_FULL : AG_OK;
}

ag_err
iam_job_done(struct iam *iam, struct ag_ctx *ctx, ag_err status, void *job,
    iam_job_keep *keep, iam_job_free *release)
{
	ag_err err = status != AG_OK ? status : keep(iam, ctx, job);

	release(job);
	return err;
}

/* -------------------------------------------------------------------- lint */

struct job {
	const struct ag_cedar_schema *schema;
	struct iam_candidate *candidate;
	struct ag_rules_findings found;
};

static void
job_free(struct job *job)
{
	iam_candidate_free(job->candidate);
	free(job);
}

static ag_err
work(void *arg)
{
	struct job *job = arg;

	return ag_rules_lint(job->schema, job->candidate->docs,
	    job->candidate->count, &job->found) == AG_CEDAR_OK ? AG_OK :
	    AG_NO_MEMORY;
}

static ag_err
on_linted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct job *job = memo;
	Ag__PolicyLintReply reply = AG__POLICY_LINT_REPLY__INIT;
	ag_err err = status;

	reply.findings = iam_findings_say(ctx, &job->found);
	reply.n_findings = job->found.count;
	reply.clean = job->found.errors + job->found.warnings == 0;
	reply.policies = (uint32_t)job->found.policies;
	if (err == AG_OK)
		err = reply.findings == NULL ? AG_NO_MEMORY :
		    ag_reply(ctx, AG_MSG_POLICY_LINT, &reply);
	job_free(job);
	return err;
}

ag_err
iam_on_policy_lint(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicyLintAsk *ask = msg;
	struct iam *iam = state;
	struct iam_caller caller;
	struct job *job;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if ((job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	job->schema = iam->schema;
	err = iam_candidate_new(ctx, caller.tenant, ask->documents,
	    ask->n_documents, ask->has_alone && ask->alone, &job->candidate);
	if (err == AG_OK)
		err = ag_work(ctx, work, job, on_linted);
	if (err != AG_PENDING)
		job_free(job);
	return err;
}

/* ------------------------------------------------------------------- asked */

/* history wants to know what is in force. */
ag_err
iam_on_rules(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RulesAsk *ask = msg;
	struct iam *iam = state;
	const struct iam_tenant *tenant = iam_tenant_find(iam, ask->tenant);
	Ag__RulesReply reply = AG__RULES_REPLY__INIT;
	Ag__Pair *pairs = ag_alloc(ctx, AG_RULES_DOCS_MAX * sizeof(*pairs));
	const struct iam_doc *d = tenant == NULL || tenant->book == NULL ? NULL :
	    tenant->book->docs;

	if (!iam->ready)
		return AG_UNAVAILABLE;
	reply.documents = iam_array(ctx, AG_RULES_DOCS_MAX);
	if (pairs == NULL || reply.documents == NULL)
		return AG_NO_MEMORY;
	for (; d != NULL && reply.n_documents < AG_RULES_DOCS_MAX; d = d->next) {
		Ag__Pair *pair = &pairs[reply.n_documents];

		if (d->text == NULL)
			continue;
		ag__pair__init(pair);
		pair->key = (char *)d->name;
		pair->value = d->text;
		reply.documents[reply.n_documents++] = pair;
	}
	return ag_reply(ctx, AG_MSG_RULES_REPLY, &reply);
}
