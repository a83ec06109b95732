/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of policies as files: a world (people, agents, keys), documents, and
 * requests with what is to come of them. Pure.
 *
 * {"world": {"principals": {"alice": {"kind": "human", "roles": ["key-user"]},
 *                           "clerk": {"kind": "agent", "parent": "alice"}},
 *            "keys": {"payroll": {"spec": "EC_P256", "state": "Active",
 *              "backend": "software", "labels": {"env": "prod"}}}},
 *  "cases": [{"name": "…", "policies": {"base": "permit (…);"},
 *    "requests": [{"principal": "alice", "action": "key.sign",
 *      "resource": "payroll", "context": {"source": "10.0.0.1"},
 *      "expect": "allow", "rule": "base/0"}]}]}
 *
 * A key that says no state is Active, and in the backend software.
 * A request may leave out resource, context and rule, and may say reason_code (of
 * a deny), timeout_ms and max_ttl_s. Of the context: at (a time of Cedar), source, plane,
 * credential_age_s, stepped_up, items, bytes, under_way, tracked,
 * since_step_up_s, since_approval_s, recent (second, minute, hour, day, keys_hour, keys_day).
 */
#ifndef AEGIS_POLICY_VECTORS_H
#define AEGIS_POLICY_VECTORS_H

#include "rules.h"

struct ag_vector_result {
	const char *name; /* of the case */
	size_t index;     /* of the request in it, from 1; 0: the case itself */
	bool good;
	const char *want, *want_rule; /* want_rule NULL: any */
	const char *got, *got_rule;   /* got_rule NULL: none matched */
	const char *problem; /* why it could not be asked; NULL: it was */
};
typedef void ag_vector_fn(void *arg, const struct ag_vector_result *result);

struct ag_vector_sums {
	size_t cases, requests, bad;
};

/* False: the text is no such file; problem (256 bytes) says why. */
bool ag_vectors_run(const struct ag_cedar_schema *schema, const char *text,
    size_t len, ag_vector_fn *report, void *arg, struct ag_vector_sums *sums,
    char problem[256]);

#endif
