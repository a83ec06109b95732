/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a request for approval, and which may follow which. */
#ifndef APPROVALS_STATE_H
#define APPROVALS_STATE_H

#include <stdbool.h>

enum approval_state {
	APPROVAL_PENDING,
	APPROVAL_APPROVED,
	APPROVAL_DENIED,
	APPROVAL_EXPIRED,
	APPROVAL_CANCELLED,
	APPROVAL_STATES,
};

const char *approval_state_name(enum approval_state state);
/* APPROVAL_STATES: there is no such state. */
enum approval_state approval_state_named(const char *name);
bool approval_may_become(enum approval_state from, enum approval_state to);

#endif
