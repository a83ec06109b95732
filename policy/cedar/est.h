/* SPDX-License-Identifier: Apache-2.0 */
/* Cedar's JSON policy format: names of operators, both ways. */
#ifndef AEGIS_POLICY_CEDAR_EST_H
#define AEGIS_POLICY_CEDAR_EST_H

#include "json.h"

enum cedar_est_form {
	CEDAR_EST_ARG,   /* {"arg"} */
	CEDAR_EST_BOTH,  /* {"left", "right"} */
	CEDAR_EST_ATTR,  /* {"left", "attr"} */
};

struct cedar_est_row {
	const char *name;
	uint8_t op, form;
};
extern const struct cedar_est_row cedar_est_rows[];
extern const size_t cedar_est_row_count;

/* "principal", "action", "resource", "context" in the order of the ops. */
extern const char *const cedar_est_vars[4];

/* ---------------------------------------------------------------- reading */

struct cedar_est {
	struct cedar_json j;
	enum ag_cedar_err err; /* the first one */
	unsigned depth;
};

#define CEDAR_EST_REFUSE(r, ...) ((r)->err != AG_CEDAR_OK ? (r)->err : \
	((r)->err = cedar_json_problem(&(r)->j, AG_CEDAR_INVALID, __VA_ARGS__)))

/* NULL: there was an error, which is in err. */
struct cedar_expr *cedar_est_expression(struct cedar_est *r, const json_t *from);

/* The member's expression, with its place. */
struct cedar_expr *cedar_est_child(struct cedar_est *r, const json_t *of,
    const char *name);
bool cedar_est_text(struct cedar_est *r, const json_t *of, const char *name,
    struct ag_cedar_str *out);
bool cedar_est_type_name(struct cedar_est *r, const json_t *of,
    struct ag_cedar_str *out);

#endif
