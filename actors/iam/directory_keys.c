/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that there are, as iam must know them: by id and alias, with labels,
 * hours and the root of trust that they are in. */
#include "iam.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

static bool
key_is(const void *item, const char *scope, const char *key)
{
	return strcmp(((const struct iam_key *)item)->id, key) == 0;
}

static bool
alias_is(const void *item, const char *scope, const char *key)
{
	const struct iam_key *k = item;

	return strcmp(k->alias, key) == 0 && strcmp(k->tenant->name, scope) == 0;
}

struct iam_key *
iam_key_find(struct iam *iam, const struct iam_tenant *tenant,
    const char *selector)
{
	struct iam_key *key = iam_table_get(&iam->aliases, alias_is,
	    tenant->name, selector);

	if (key == NULL)
		key = iam_table_get(&iam->keys, key_is, "", selector);
	return key != NULL && key->tenant == tenant ? key : NULL;
}

ag_err
iam_key_labels(struct iam_key *key, Ag__Pair *const *pairs, size_t count)
{
	struct ag_scope_label *labels = NULL;
	size_t bytes = count * sizeof(*labels), n = 0;
	char *text;

	for (size_t i = 0; i < count; i++)
		if (pairs[i]->value != NULL)
			bytes += strlen(pairs[i]->key) + strlen(pairs[i]->value) + 2;
	if (count > 0 && (labels = malloc(bytes)) == NULL)
		return AG_NO_MEMORY;
	text = labels == NULL ? NULL : (char *)(labels + count);
	key->critical = false;
	for (size_t i = 0; i < count; i++) {
		if (pairs[i]->value == NULL)
			continue;
		labels[n].key = text;
		text = stpcpy(text, pairs[i]->key) + 1;
		labels[n].value = text;
		text = stpcpy(text, pairs[i]->value) + 1;
		if (strcmp(labels[n].key, "tier") == 0 &&
		    strcmp(labels[n].value, "critical") == 0)
			key->critical = true;
		n++;
	}
	free(key->labels);
	key->labels = labels;
	key->target.labels = labels;
	key->target.label_count = n;
	return iam_hours_read(key);
}

/* One copy for all keys of a root of trust. */
static ag_err
backend_of(struct iam *iam, const char *name, const char **out)
{
	size_t i = 0;

	while (i < iam->backend_count && strcmp(iam->backends[i], name) != 0)
		i++;
	if (strlen(name) > AG_NAME_MAX)
		return AG_CORRUPT;
	if (i == IAM_BACKENDS_MAX)
		return AG_FULL;
	if (i == iam->backend_count)
		strcpy(iam->backends[iam->backend_count++], name);
	*out = iam->backends[i];
	return AG_OK;
}

ag_err
iam_take_key(struct iam *iam, const Ag__KeyCreatedFact *fact)
{
	struct iam_tenant *tenant = iam_tenant_find(iam, fact->tenant);
	struct iam_key *key = iam_table_get(&iam->keys, key_is, "", fact->key_id);
	ag_err err;

	if (tenant == NULL || strlen(fact->key_id) >= AG_ID_SIZE ||
	    (fact->alias != NULL && strlen(fact->alias) > AG_NAME_MAX))
		return AG_CORRUPT;
	if (key != NULL) {
		if (fact->has_state) {
			key->state = (uint8_t)fact->state;
			key->version = fact->version;
		}
		return iam_key_labels(key, fact->labels, fact->n_labels);
	}
	key = calloc(1, sizeof(*key));
	if (key == NULL)
		return AG_NO_MEMORY;
	strcpy(key->id, fact->key_id);
	if (fact->alias != NULL)
		strcpy(key->alias, fact->alias);
	key->tenant = tenant;
	key->honey = fact->has_honey && fact->honey;
	key->spec = (uint8_t)fact->key_spec;
	key->state = (uint8_t)(fact->has_state ? fact->state : fact->active ?
	    AG__KEY_STATE__V__Active : AG__KEY_STATE__V__PreActive);
	key->version = fact->has_version ? fact->version : 1;
	key->target.id = key->id;
	key->target.alias = key->alias[0] != '\0' ? key->alias : NULL;
	err = backend_of(iam, fact->rot, &key->backend);
	if (err == AG_OK)
		err = iam_key_labels(key, fact->labels, fact->n_labels);
	if (err == AG_OK)
		err = iam_table_add(&iam->keys, "", key->id, key);
	if (err == AG_OK && key->target.alias != NULL &&
	    (err = iam_table_add(&iam->aliases, tenant->name, key->alias, key)) !=
	    AG_OK)
		iam_table_del(&iam->keys, "", key->id, key);
	if (err != AG_OK) {
		free(key->hours);
		free(key->labels);
		free(key);
		return err;
	}
	iam_quota_count(iam, tenant, IAM_C_KEYS, true);
	return AG_OK;
}
