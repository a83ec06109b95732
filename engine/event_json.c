/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit events for readers: what they see, and as one line of JSON.
 */
#include "engine.h"

#include <aegis/event.h>
#include <aegis/id.h>

#include <stdio.h>
#include <string.h>

const uint8_t ag_event_reasons[] = {
	20, /* risk */
	60, /* reach */
	70, 71, 74, /* policy, policy_change, policy_changes */
	0,
};

void
ag_event_shown(const Ag__Event *event, Ag__Event *out)
{
	*out = *event;
	out->base.n_unknown_fields = 0;
	out->base.unknown_fields = NULL;
	out->has_held = 0;
	out->has_tier_critical = 0;
	out->has_honey = 0;
	out->has_scope_count = 0;
	out->has_credential_issued_at = 0;
	out->reason = NULL;
	out->has_plane_boot = 0;
	out->has_plane_n = 0;
	out->has_journal_seq = out->has_journal_prev = 0;
	out->author = NULL;
	out->has_recorded_us = 0;
	out->reach = NULL;
	out->policy = NULL;
	out->policy_change = NULL;
	out->n_policy_changes = 0;
	out->n_spans = 0;
	out->parent_id = NULL;
}

ag_err
ag_event_json(const Ag__Event *event, char **out)
{
	return ag_json_text(&event->base, out);
}

void
ag_id_derive(const char *prefix, const char *what, const char *from, char *out)
{
	const char *id = strchr(what, '_');
	char text[512];
	uint8_t digest[32];
	int n = snprintf(text, sizeof(text), "%s%c%s", what, '\0', from);

	if (n < 0 || (size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	ag_sha256(text, (size_t)n, digest);
	digest[6] = (digest[6] & 0x0f) | 0x70;
	digest[8] = (digest[8] & 0x3f) | 0x80;
	ag_id_from_uuid(prefix, digest, out);
	/* The time is the cause's, if that is an id. */
	memcpy(strchr(out, '_') + 1, id != NULL &&
	    strspn(id + 1, "0123456789abcdef") >= 32 ? id + 1 : "000000000000", 12);
}
