/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy documents: listed, shown, put, deleted, rolled back. A document is
 * checked, and the set that it makes with the others compiled, on the worker
 * thread, since that takes a while; it is refused whole with the place of the
 * first error, and what was in force stays. Changes of one tenant go one by
 * one, so that its version counts them, and its other documents stay put while
 * the worker reads them.
 */
#include "candidate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_KEY_MAX = 2 * AG_NAME_MAX + 16, SHA_HEX = 65 };

static ag_err
no_such_policy(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such policy.");
}

/* ------------------------------------------------------------------- views */

static char *
sha_of(struct ag_ctx *ctx, const char *text)
{
	uint8_t hash[32];
	char *hex = ag_alloc(ctx, SHA_HEX);

	if (hex == NULL)
		return NULL;
	ag_sha256(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), hash);
	ag_hex(hash, sizeof(hash), hex);
	return hex;
}

/* Of a fact; NULL: no memory. */
static Ag__Policy *
view_of(struct ag_ctx *ctx, const Ag__PolicyFact *fact, bool with_text)
{
	Ag__Policy *view = ag_alloc(ctx, sizeof(*view));
	struct ag_signed said;

	if (view == NULL)
		return NULL;
	ag__policy__init(view);
	view->name = fact->name;
	view->tenant = fact->tenant;
	view->state = fact->state;
	view->version = view->revision = fact->revision;
	view->text = with_text ? fact->text : NULL;
	view->sha256 = sha_of(ctx, fact->text);
	view->policies = fact->policies;
	view->updated_at = fact->at;
	view->updated_by = fact->by;
	view->reason = fact->reason;
	view->has_restored_from = fact->has_restored_from;
	view->restored_from = fact->restored_from;
	view->policy_version = fact->policy_version;
	if (fact->signature != NULL && ag_signed_read(fact->signature, &said)) {
		view->signature = with_text ? fact->signature : NULL;
		view->has_signed_version = true;
		view->signed_version = said.version;
		view->signer = ag_strdup(ctx, said.signer);
	}
	return view->sha256 == NULL ? NULL : view;
}

/* A version's row; AG_ITEM_NOT_FOUND. */
static ag_err
row_of(struct ag_ctx *ctx, const char *tenant, const char *name,
    uint64_t version, Ag__PolicyFact **out)
{
	char key[ROW_KEY_MAX];
	const uint8_t *bytes;
	size_t len;
	ag_err err;

	snprintf(key, sizeof(key), "%s/%s/%08llx", tenant, name,
	    (unsigned long long)version);
	err = ag_store_get(ctx, IAM_T_POLICIES, key, strlen(key), &bytes, &len);
	if (err != AG_OK)
		return err;
	*out = ag_unpack(ctx, &ag__policy_fact__descriptor, bytes, len);
	return *out == NULL ? AG_CORRUPT : AG_OK;
}

/* ----------------------------------------------------------------- reading */

static ag_err
name_of(struct ag_ctx *ctx, const char **name)
{
	*name = ag_grant(ctx)->resource_id;
	if (*name == NULL || !ag_name_valid(*name))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", NULL,
		    "A policy's name is [a-z0-9][a-z0-9._-]{0,62}.");
	ag_note_resource(ctx, "policy", *name, NULL);
	return AG_OK;
}

ag_err
iam_on_policy_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__PolicyReadAsk *ask = msg;
	const struct iam_doc *doc;
	struct iam_caller caller;
	Ag__PolicyFact *fact;
	Ag__Policy *view;
	const char *name;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = name_of(ctx, &name)) != AG_OK)
		return err;
	doc = iam_doc_find(caller.tenant, name);
	if (doc == NULL || (!ask->has_version && doc->text == NULL))
		return no_such_policy(ctx);
	err = row_of(ctx, caller.tenant->name, name,
	    ask->has_version ? ask->version : doc->version, &fact);
	if (err == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, err, NULL, "?version",
		    "There is no such version, or it is no longer kept.");
	if (err != AG_OK)
		return err;
	view = view_of(ctx, fact, true);
	return view == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_POLICY_READ, view);
}

ag_err
iam_on_policy_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__PolicyListReply reply = AG__POLICY_LIST_REPLY__INIT;
	struct iam_caller caller;
	const struct iam_doc *d;
	struct ag_page page;
	const char *after;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	after = iam_after(&page);
	if ((reply.items = iam_array(ctx, page.limit)) == NULL)
		return AG_NO_MEMORY;
	d = caller.tenant->book == NULL ? NULL : caller.tenant->book->docs;
	for (; d != NULL; d = d->next) {
		Ag__PolicyFact *fact;

		if (d->text == NULL ||
		    (after != NULL && strcmp(d->name, after) <= 0))
			continue;
		if (reply.n_items == page.limit) {
			reply.next_cursor = iam_cursor(ctx, &page,
			    reply.items[page.limit - 1]->name);
			break;
		}
		if ((err = row_of(ctx, caller.tenant->name, d->name, d->version,
		    &fact)) != AG_OK)
			return err;
		if ((reply.items[reply.n_items++] = view_of(ctx, fact, false)) ==
		    NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, AG_MSG_POLICY_LIST, &reply);
}

/* All that are kept, the newest first. */
ag_err
iam_on_policy_versions(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__PolicyListReply reply = AG__POLICY_LIST_REPLY__INIT;
	const struct iam_doc *doc;
	struct iam_caller caller;
	struct ag_page page;
	const char *name, *after;
	uint64_t version;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = name_of(ctx, &name)) != AG_OK)
		return err;
	if ((doc = iam_doc_find(caller.tenant, name)) == NULL)
		return no_such_policy(ctx);
	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	if ((reply.items = iam_array(ctx, IAM_DOC_VERSIONS_MAX)) == NULL)
		return AG_NO_MEMORY;
	after = iam_after(&page);
	version = after == NULL ? doc->version + 1 : strtoull(after, NULL, 10);
	while (--version >= doc->first) {
		Ag__PolicyFact *fact;

		if (reply.n_items == page.limit) {
			reply.next_cursor = iam_cursor(ctx, &page, ag_printf(ctx,
			    "%llu", (unsigned long long)version + 1));
			break;
		}
		err = row_of(ctx, caller.tenant->name, name, version, &fact);
		if (err != AG_OK)
			return err;
		reply.items[reply.n_items] = view_of(ctx, fact, false);
		if (reply.items[reply.n_items++] == NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, AG_MSG_POLICY_VERSIONS, &reply);
}

ag_err
iam_on_policy_schema(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__PolicySchemaReply reply = AG__POLICY_SCHEMA_REPLY__INIT;
	char *text = ag_rules_schema_text();
	ag_err err;

	if (text == NULL)
		return AG_NO_MEMORY;
	reply.schema = text;
	reply.language = (char *)"cedar 4.5";
	err = ag_reply(ctx, AG_MSG_POLICY_SCHEMA, &reply);
	free(text);
	return err;
}

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
job_free(struct job *job)
{
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
refuse_found(struct ag_ctx *ctx, const struct ag_rules_findings *found)
{
	const struct ag_rules_finding *f = found->items;

	while (!f->is_error)
		f++;
	if (f->line == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", "/text",
		    "%s", f->text);
	return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", "/text",
	    "%u:%u: %s%s", f->line, f->column, f->text,
	    found->errors > 1 ? " (and more; validate lists them)" : "");
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
	    (err = name_of(ctx, name)) != AG_OK)
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
	size_t bytes = job->text == NULL ? 0 : strlen(job->text),
	    all = iam->rules_bytes + bytes, policies = job->found.policies,
	    docs = 1;
	const struct iam_doc *d = tenant->book == NULL ? NULL :
	    tenant->book->docs;

	for (; d != NULL; d = d->next) {
		if (d == doc || d->text == NULL)
			continue;
		bytes += d->len;
		policies += d->policies;
		docs++;
	}
	if (doc != NULL)
		all -= doc->len;
	if (docs > AG_RULES_DOCS_MAX || policies > AG_RULES_COUNT_MAX ||
	    bytes > AG_RULES_TENANT_BYTES_MAX || (doc == NULL &&
	    tenant->book != NULL && tenant->book->count >= IAM_DOCS_EVER_MAX))
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", "/text",
		    "A tenant has at most %d policies in %d documents of %d "
		    "bytes in all, and %d names of documents ever.",
		    AG_RULES_COUNT_MAX, AG_RULES_DOCS_MAX,
		    AG_RULES_TENANT_BYTES_MAX, IAM_DOCS_EVER_MAX);
	return all > IAM_RULES_BYTES_MAX ? AG_FULL : AG_OK;
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
	view = view_of(ctx, fact, true);
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
	    NULL : sha_of(ctx, doc->text));
	ag_note_param(ctx, "sha256_after", fact->text == NULL ? NULL :
	    view->sha256);
	facts[0] = (struct ag_fact){ stream, version, AG_MSG_POLICY_FACT, fact };
	facts[1] = (struct ag_fact){ all, fact->policy_version - 1,
		AG_MSG_NAME_TAKEN_FACT, &counted };
	return ag_persist(ctx, facts, 2, ag_type(ctx), view, NULL, NULL, NULL, 0);
}

static ag_err
keep(struct iam *iam, struct ag_ctx *ctx, struct job *job)
{
	Ag__PolicyFact fact = AG__POLICY_FACT__INIT;
	const struct iam_doc *doc;
	struct iam_caller caller;
	const char *name;
	ag_err err;

	/* The lock is held since before the check; the caller may be gone. */
	if ((err = subject(iam, ctx, &caller, &name, &doc)) != AG_OK)
		return err;
	if (job->found.errors > 0)
		return refuse_found(ctx, &job->found);
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
	ag_err err = status != AG_OK ? status : keep(state, ctx, memo);

	job_free(memo);
	return err;
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
		return no_such_policy(ctx);
	err = row_of(ctx, caller.tenant->name, name, ask->version, &old);
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
		return no_such_policy(ctx);
	return change(state, ctx, caller.tenant, doc, job_new(state, name, NULL,
	    ask->reason, ask->signature));
}
