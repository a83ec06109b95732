/* SPDX-License-Identifier: Apache-2.0 */
#include "recorded.h"

#include <string.h>

/* chain: root first, self last. */
static void
party(Ag__Link *const *chain, size_t count, char *const *models,
    size_t model_count, char *const *roles, size_t role_count,
    struct ag_rules_party *out)
{
	size_t agents = 0;

	for (size_t i = count; i-- > 0 && out->count < AG_RULES_CHAIN_MAX;) {
		struct ag_rules_link *l = &out->links[out->count++];

		l->kind = chain[i]->kind == AG__KIND__V__agent ? AG_RULES_AGENT :
		    chain[i]->kind == AG__KIND__V__service ? AG_RULES_SERVICE :
		    AG_RULES_HUMAN;
		l->id = chain[i]->id;
		l->name = chain[i]->name;
		if (l->kind == AG_RULES_AGENT && agents < model_count &&
		    models[agents++][0] != '\0')
			l->model = models[agents - 1];
	}
	out->roles = (const char *const *)roles;
	out->role_count = role_count < AG_RECORDED_ROLES_MAX ? role_count : AG_RECORDED_ROLES_MAX;
}

void
ag_recorded_ask(const Ag__Event *e, struct ag_recorded_room *room,
    struct ag_rules_ask *out)
{
	const Ag__PolicyInput *in = e->policy;
	struct ag_rules_resource *r = &out->resource;

	memset(out, 0, sizeof(*out));
	out->tenant = e->tenant;
	out->action = in->action;
	party(e->chain, e->n_chain, in->models, in->n_models, in->roles,
	    in->n_roles, &out->principal);
	r->about = in->about <= AG_RULES_TOOL ? (enum ag_rules_about)in->about :
	    AG_RULES_TENANT;
	r->unknown = in->has_unknown && in->unknown;
	r->id = in->id;
	r->name = in->name;
	r->spec = in->spec;
	r->state = in->state;
	r->backend = in->backend;
	for (size_t i = 0; i < in->n_labels && i < AG_RECORDED_LABELS_MAX; i++)
		room->labels[r->label_count++] = (struct ag_rules_label){
			in->labels[i]->key, in->labels[i]->value };
	r->labels = room->labels;
	party(in->party, in->n_party, in->party_models, in->n_party_models,
	    in->party_roles, in->n_party_roles, &r->party);
	if (r->about == AG_RULES_PARTY && r->unknown)
		r->party.links[0].kind = strncmp(in->action, "agent.", 6) == 0 ?
		    AG_RULES_AGENT : AG_RULES_HUMAN;
	out->at_ms = in->at;
	out->source = e->source_address;
	out->plane = in->plane;
	out->credential_age_ms = in->credential_age_ms;
	out->stepped_up = in->stepped_up;
	out->break_glass = in->has_break_glass && in->break_glass;
	out->items = in->items;
	out->tracked = !in->has_tracked || in->tracked;
	out->bytes = in->bytes;
	out->under_way = in->under_way;
	out->has_since_step_up = in->has_since_step_up_ms;
	out->since_step_up_ms = in->since_step_up_ms;
	out->has_since_approval = in->has_since_approval_ms;
	out->since_approval_ms = in->since_approval_ms;
	if (in->recent != NULL)
		out->recent = (struct ag_rules_recent){ in->recent->second,
			in->recent->minute, in->recent->hour, in->recent->day,
			in->recent->keys_hour, in->recent->keys_day };
}

bool
ag_recorded_whole(const Ag__Event *e, const struct ag_rules *rules)
{
	const Ag__PolicyInput *in = e->policy;

	if (in == NULL || (in->recent == NULL && ag_rules_wants_recent(rules)) ||
	    (!in->has_under_way && ag_rules_wants_under_way(rules)))
		return false;
	return in->about != AG_RULES_KEY || (in->has_unknown && in->unknown) ||
	    in->state != NULL;
}
