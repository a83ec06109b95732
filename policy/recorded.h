/* SPDX-License-Identifier: Apache-2.0 */
/* A recorded decision as a question again: what the event says was asked. */
#ifndef AEGIS_POLICY_RECORDED_H
#define AEGIS_POLICY_RECORDED_H

#include "rules.h"

#include <aegis/aegis.h>

enum { AG_RECORDED_LABELS_MAX = 64, AG_RECORDED_ROLES_MAX = 64 };

struct ag_recorded_room {
	struct ag_rules_label labels[AG_RECORDED_LABELS_MAX];
};

/* event->policy is there. Borrows the event and the room. */
void ag_recorded_ask(const Ag__Event *event, struct ag_recorded_room *room,
    struct ag_rules_ask *out);
/* Is all there that these rules look at? Events of before something was
 * recorded lack it. */
bool ag_recorded_whole(const Ag__Event *event, const struct ag_rules *rules);

#endif
