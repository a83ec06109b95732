/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies of the folder that is watched (policies.directory): its documents
 * are put in force together or not at all, in the place of those that came from
 * it before. They are checked as what people put is, on the worker thread, and
 * recorded as one event. Whose a document is, its last change says: what a
 * person put stays, unless the folder has one of that name.
 */
#include "candidate.h"
#include "exec.h"
#include "handlers.h"
#include "rulebook.h"

#include <aegis/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 2 * AG_RULES_DOCS_MAX };
static const char author[] = "policies.directory";

/* One document that is to be another, or gone. */
struct change {
	const struct iam_doc *doc; /* NULL: there never was one */
	const Ag__PolicyOfferDoc *said;
};
struct changes {
	struct change at[CHANGES_MAX];
	size_t count;
};

struct job {
	const struct ag_cedar_schema *schema;
	struct iam_candidate *candidate;
	bool changed[AG_RULES_DOCS_MAX]; /* of the candidate's: to be checked */
	uint32_t policies[AG_RULES_DOCS_MAX]; /* in those that changed */
	char wrong[AG_NAME_MAX + 1];     /* the first that is */
	struct ag_rules_findings found;
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
	iam_candidate_free(job->candidate);
	free(job);
}

/* ------------------------------------------------------------ what changes */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_changed(const struct iam_doc *doc, const Ag__PolicyOfferDoc *said)
{
	if (said->text == NULL)
		return doc != NULL && doc->text != NULL;
	return doc == NULL || !doc->offered || !same_text(doc->text, said->text) ||
	    !same_text(doc->signature, said->signature);
}

/* Among the first so many. */
static bool
is_said(const Ag__PolicyOfferAsk *ask, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(ask->documents[i]->name, name) == 0)
			return true;
	return false;
}

/* Nobody said anything of it any more. */
static ag_err
add_gone(struct ag_ctx *ctx, const struct iam_doc *doc, struct changes *out)
{
	Ag__PolicyOfferDoc *gone = ag_alloc(ctx, sizeof(*gone));

	if (gone == NULL)
		return AG_NO_MEMORY;
	ag__policy_offer_doc__init(gone);
	gone->name = (char *)doc->name;
	out->at[out->count++] = (struct change){ doc, gone };
	return AG_OK;
}

static ag_err
compare(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const Ag__PolicyOfferAsk *ask, struct changes *out)
{
	const struct iam_doc *d = tenant->book == NULL ? NULL :
	    tenant->book->docs;
	ag_err err = AG_OK;

	out->count = 0;
	if (ask->n_documents > AG_RULES_DOCS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", NULL,
		    "A tenant has at most %d documents.", AG_RULES_DOCS_MAX);
	for (size_t i = 0; i < ask->n_documents; i++) {
		const Ag__PolicyOfferDoc *said = ask->documents[i];
		const struct iam_doc *doc = iam_doc_find(tenant, said->name);

		if (is_said(ask, i, said->name))
			return ag_refuse(ctx, AG_INVALID_FIELD,
			    "conflicting_fields", said->name,
			    "Another document has this name.");
		if (is_changed(doc, said))
			out->at[out->count++] = (struct change){ doc, said };
	}
	for (; err == AG_OK && d != NULL; d = d->next)
		if (d->offered && d->text != NULL && !is_said(ask, ask->n_documents, d->name) &&
		    out->count < CHANGES_MAX)
			err = add_gone(ctx, d, out);
	return err;
}

/* ---------------------------------------------------------------- checking */

static ag_err
work(void *arg)
{
	struct job *job = arg;
	const struct iam_candidate *c = job->candidate;

	for (size_t i = 0; i < c->count; i++) {
		if (!job->changed[i])
			continue;
		if (ag_rules_check(job->schema, &c->docs[i], &job->found) !=
		    AG_CEDAR_OK)
			return AG_NO_MEMORY;
		if (job->found.errors > 0) {
			snprintf(job->wrong, sizeof(job->wrong), "%s",
			    c->docs[i].name);
			return AG_OK;
		}
		job->policies[i] = (uint32_t)job->found.policies;
	}
	iam_rules_digest(c->docs, c->count, job->digest);
	return ag_rules_new(c->docs, c->count, &job->rules) == AG_CEDAR_OK ?
	    AG_OK : AG_NO_MEMORY;
}

static ag_err
job_new(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct changes *changes,
    struct job **out)
{
	Ag__PolicyDraft *drafts = ag_alloc(ctx, CHANGES_MAX * sizeof(*drafts));
	Ag__PolicyDraft **list = iam_array(ctx, CHANGES_MAX);
	struct job *job;
	ag_err err;

	if (drafts == NULL || list == NULL ||
	    (job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	job->schema = iam->schema;
	for (size_t i = 0; i < changes->count; i++) {
		list[i] = &drafts[i];
		ag__policy_draft__init(list[i]);
		list[i]->name = changes->at[i].said->name;
		list[i]->text = changes->at[i].said->text;
	}
	err = iam_candidate_new(ctx, tenant, list, changes->count, false,
	    &job->candidate);
	if (err != AG_OK) {
		job_free(job);
		return err;
	}
	for (size_t i = 0; i < job->candidate->count; i++)
		for (size_t k = 0; k < changes->count; k++)
			job->changed[i] = job->changed[i] || strcmp(
			    job->candidate->docs[i].name, list[k]->name) == 0;
	*out = job;
	return AG_OK;
}

/* The bounds of what people put, for all at once. */
static ag_err
check_room(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct changes *changes,
    const struct job *job)
{
	struct iam_rules_size size = { .documents = job->candidate->count,
		.policies = ag_rules_count(job->rules), .names =
		tenant->book == NULL ? 0 : tenant->book->count,
		.bytes_of_all = iam->rules_bytes };
	const struct iam_doc *d = tenant->book == NULL ? NULL :
	    tenant->book->docs;

	for (size_t i = 0; i < job->candidate->count; i++)
		size.bytes += job->candidate->docs[i].len;
	for (size_t i = 0; i < changes->count; i++)
		size.names += changes->at[i].doc == NULL;
	for (; d != NULL; d = d->next)
		size.bytes_of_all -= d->len;
	size.bytes_of_all += size.bytes;
	return iam_rules_fit(ctx, &size, NULL);
}

/* ----------------------------------------------------------------- keeping */

/* What one change comes to. */
static ag_err
fact_of(struct iam *iam, struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const struct job *job, const struct change *c, uint64_t version,
    Ag__PolicyFact *fact)
{
	ag__policy_fact__init(fact);
	fact->tenant = (char *)tenant->name;
	fact->name = c->said->name;
	fact->state = (char *)(c->said->text == NULL ? "deleted" : "active");
	fact->text = c->said->text;
	fact->signature = c->said->signature;
	fact->at = ag_now_ms(ctx);
	fact->by = (char *)author;
	fact->policy_version = version;
	fact->has_offered = fact->offered = true;
	fact->has_signed_version = c->doc != NULL && c->doc->signed_version > 0;
	fact->signed_version = c->doc == NULL ? 0 : c->doc->signed_version;
	for (size_t i = 0; i < job->candidate->count; i++)
		if (strcmp(job->candidate->docs[i].name, fact->name) == 0) {
			fact->has_policies = true;
			fact->policies = job->policies[i];
		}
	return iam_signed_refuse(iam, ctx, c->doc, fact, c->said->name);
}

struct kept {
	uint64_t version;
	uint32_t changed;
};

static ag_err
on_kept(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct kept *kept = memo;
	Ag__PolicyOfferReply reply = AG__POLICY_OFFER_REPLY__INIT;

	if (status != AG_OK)
		return status;
	reply.policy_version = kept->version;
	reply.changed = kept->changed;
	return ag_reply(ctx, AG_MSG_POLICY_OFFER_REPLY, &reply);
}

/* The event names the documents, and has their texts for who decides again. */
static ag_err
say(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const Ag__PolicyFact *facts, size_t count, Ag__OutcomeEvent *out)
{
	Ag__PolicyOfferReply reply = AG__POLICY_OFFER_REPLY__INIT;
	Ag__PolicyChange *changes = ag_alloc(ctx, count * sizeof(*changes));
	Ag__Pair *pair = ag_alloc(ctx, sizeof(*pair));
	char *names = (char *)"", *id = ag_alloc(ctx, AG_ID_SIZE);
	uint64_t version = facts[count - 1].policy_version;
	const char *cause = ag_printf(ctx, "%s %llu", tenant->name,
	    (unsigned long long)version);

	reply.policy_version = version;
	reply.changed = (uint32_t)count;
	reply.changes = iam_array(ctx, count);
	out->params = iam_array(ctx, 1);
	if (changes == NULL || pair == NULL || id == NULL || cause == NULL ||
	    reply.changes == NULL || out->params == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		ag__policy_change__init(&changes[i]);
		changes[i].name = facts[i].name;
		changes[i].policy_version = facts[i].policy_version;
		changes[i].text = facts[i].text;
		reply.changes[reply.n_changes++] = &changes[i];
		names = ag_printf(ctx, "%s%s%s", names, i == 0 ? "" : " ",
		    facts[i].name);
		if (names == NULL)
			return AG_NO_MEMORY;
	}
	ag__pair__init(pair);
	pair->key = (char *)"documents";
	pair->value = names;
	out->params[out->n_params++] = pair;
	ag_id_derive("evt", "policy.offer", cause, id);
	out->event_id = id;
	out->event_type = AG__EVENT_TYPE__V__lifecycle;
	out->outcome = AG__OUTCOME_KIND__V__allowed;
	out->operation = (char *)"policy.offer";
	out->tenant = (char *)tenant->name;
	out->resource_type = (char *)"policy";
	out->has_reply_type = out->has_reply = true;
	out->reply_type = AG_MSG_POLICY_OFFER_REPLY;
	out->reply.data = ag_pack(ctx, &reply, &out->reply.len);
	return out->reply.data == NULL ? AG_NO_MEMORY : AG_OK;
}

/* All of it is one version of the tenant's policies, and takes its number. */
static ag_err
number(struct ag_ctx *ctx, const Ag__PolicyFact *fact, struct ag_fact *out)
{
	Ag__NameTakenFact *counted = ag_alloc(ctx, sizeof(*counted));

	if (counted == NULL)
		return AG_NO_MEMORY;
	ag__name_taken_fact__init(counted);
	counted->tenant = fact->tenant;
	counted->name = fact->name;
	counted->id = ag_printf(ctx, "%llu",
	    (unsigned long long)fact->policy_version);
	*out = (struct ag_fact){ ag_printf(ctx, "policies:%s", fact->tenant),
		fact->policy_version - 1, AG_MSG_NAME_TAKEN_FACT, counted };
	return counted->id == NULL || out->stream == NULL ? AG_NO_MEMORY : AG_OK;
}

static ag_err
keep(struct iam *iam, struct ag_ctx *ctx, struct iam_tenant *tenant,
    const struct changes *changes, struct job *job)
{
	size_t n = changes->count;
	uint64_t version = tenant->book == NULL ? 1 : tenant->book->version + 1;
	Ag__PolicyFact *facts = ag_alloc(ctx, n * sizeof(*facts));
	struct ag_fact *rows = ag_alloc(ctx, (n + 1) * sizeof(*rows));
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	struct kept kept = { version, (uint32_t)n };
	ag_err err;

	if (facts == NULL || rows == NULL)
		return AG_NO_MEMORY;
	if ((err = check_room(iam, ctx, tenant, changes, job)) != AG_OK)
		return err;
	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes->at[i];

		if ((err = fact_of(iam, ctx, tenant, job, c, version,
		    &facts[i])) != AG_OK)
			return err;
		rows[i] = (struct ag_fact){ ag_printf(ctx, "policy:%s/%s",
		    tenant->name, facts[i].name), c->doc == NULL ? 0 :
		    c->doc->version, AG_MSG_POLICY_FACT, &facts[i] };
		if (rows[i].stream == NULL)
			return AG_NO_MEMORY;
	}
	if ((err = number(ctx, &facts[0], &rows[n])) != AG_OK ||
	    (err = say(ctx, tenant, facts, n, &out)) != AG_OK)
		return err;
	iam_rules_offer(tenant, &job->rules, job->digest);
	return ag_persist_recorded(ctx, rows, n + 1, &out, on_kept, &kept,
	    sizeof(kept));
}

/* ------------------------------------------------------------------- asked */

/* Before and after the worker: the lock keeps both the same. */
static ag_err
subject(struct iam *iam, struct ag_ctx *ctx, const Ag__PolicyOfferAsk *ask,
    struct iam_tenant **tenant, struct changes *changes)
{
	const char *stream;
	ag_err err;

	if (!iam->ready)
		return AG_UNAVAILABLE;
	*tenant = iam_tenant_find(iam, ask->tenant);
	if (*tenant == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no tenant %s.", ask->tenant);
	if ((stream = ag_printf(ctx, "policies:%s", (*tenant)->name)) == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	return compare(ctx, *tenant, ask, changes);
}

static ag_err
checked(struct iam *iam, struct ag_ctx *ctx, void *arg)
{
	struct job *job = arg;
	struct changes *changes = ag_alloc(ctx, sizeof(*changes));
	struct iam_tenant *tenant;
	const Ag__PolicyOfferAsk *ask;
	const uint8_t *bytes;
	size_t len;
	ag_err err;

	bytes = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__policy_offer_ask__descriptor, bytes, len);
	if (ask == NULL || changes == NULL)
		return AG_NO_MEMORY;
	if ((err = subject(iam, ctx, ask, &tenant, changes)) != AG_OK)
		return err;
	if (job->found.errors > 0)
		return iam_findings_refuse(ctx, &job->found,
		    ag_strdup(ctx, job->wrong));
	return keep(iam, ctx, tenant, changes, job);
}

static ag_err
on_checked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	return iam_job_done(state, ctx, status, memo, checked, job_free);
}

ag_err
iam_on_policy_offer(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	struct changes *changes = ag_alloc(ctx, sizeof(*changes));
	Ag__PolicyOfferReply same = AG__POLICY_OFFER_REPLY__INIT;
	struct iam_tenant *tenant;
	struct job *job;
	ag_err err;

	if (changes == NULL)
		return AG_NO_MEMORY;
	if ((err = subject(iam, ctx, msg, &tenant, changes)) != AG_OK)
		return err;
	if (changes->count == 0) {
		same.policy_version = tenant->book == NULL ? 0 :
		    tenant->book->version;
		return ag_reply(ctx, AG_MSG_POLICY_OFFER_REPLY, &same);
	}
	if ((err = job_new(iam, ctx, tenant, changes, &job)) != AG_OK)
		return err;
	if ((err = ag_work(ctx, work, job, on_checked)) != AG_PENDING)
		job_free(job);
	return err;
}
