/* SPDX-License-Identifier: Apache-2.0 */
/* Policy documents, looked at: listed, shown, their versions, the schema. */
#include "exec.h"
#include "handlers.h"
#include "policies.h"
#include "rulebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_KEY_MAX = 2 * AG_NAME_MAX + 16, SHA_HEX = 65 };

ag_err
iam_policy_missing(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such policy.");
}

/* ------------------------------------------------------------------- views */

char *
iam_policy_sha(struct ag_ctx *ctx, const char *text)
{
	uint8_t hash[32];
	char *hex = ag_alloc(ctx, SHA_HEX);

	if (hex == NULL)
		return NULL;
	ag_sha256(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), hash);
	ag_hex(hash, sizeof(hash), hex);
	return hex;
}

Ag__Policy *
iam_policy_view(struct ag_ctx *ctx, const Ag__PolicyFact *fact, bool with_text)
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
	view->sha256 = iam_policy_sha(ctx, fact->text);
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

ag_err
iam_policy_row(struct ag_ctx *ctx, const char *tenant, const char *name,
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

ag_err
iam_policy_name(struct ag_ctx *ctx, const char **name)
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
	    (err = iam_policy_name(ctx, &name)) != AG_OK)
		return err;
	doc = iam_doc_find(caller.tenant, name);
	if (doc == NULL || (!ask->has_version && doc->text == NULL))
		return iam_policy_missing(ctx);
	err = iam_policy_row(ctx, caller.tenant->name, name,
	    ask->has_version ? ask->version : doc->version, &fact);
	if (err == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, err, NULL, "?version",
		    "There is no such version, or it is no longer kept.");
	if (err != AG_OK)
		return err;
	view = iam_policy_view(ctx, fact, true);
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
		if ((err = iam_policy_row(ctx, caller.tenant->name, d->name, d->version,
		    &fact)) != AG_OK)
			return err;
		if ((reply.items[reply.n_items++] = iam_policy_view(ctx, fact, false)) ==
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
	    (err = iam_policy_name(ctx, &name)) != AG_OK)
		return err;
	if ((doc = iam_doc_find(caller.tenant, name)) == NULL)
		return iam_policy_missing(ctx);
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
		err = iam_policy_row(ctx, caller.tenant->name, name, version, &fact);
		if (err != AG_OK)
			return err;
		reply.items[reply.n_items] = iam_policy_view(ctx, fact, false);
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
