/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One error type for the whole of Aegis, made from err.def.
 */
#ifndef AEGIS_ERR_H
#define AEGIS_ERR_H

#define AG_MUST __attribute__((warn_unused_result))
#define AG_PRINTF(f, a) __attribute__((format(printf, f, a)))

typedef enum ag_err {
	AG_OK = 0,
#define ERR(name, code, http, kmip, mcp, title, cli) AG_##name,
#include <aegis/err.def>
#undef ERR
	AG_ERR_COUNT,
	/* Not errors: what a handler may return besides AG_OK and an error. */
	AG_PENDING = 1000, /* the answer comes later, from a continuation */
} ag_err;

struct ag_err_row {
	const char *name; /* "INVALID_FIELD" */
	const char *code; /* "InvalidField", public */
	int http;
	const char *kmip;
	int mcp;
	const char *title;
	int cli_exit;
};

/* The row of err; GENERAL_FAILURE's for anything unknown. Never NULL. */
const struct ag_err_row *ag_err_row(ag_err err);

/* The first error whose public code is `code`, or AG_OK if there is none. */
ag_err ag_err_from_code(const char *code);

/*
 * Our own bug: says where and what on stderr, aborts; the supervisor restarts
 * us. Never for anything that a peer's bytes can cause. Never compiled out.
 */
#define ag_panic(...) ag_panic_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void ag_panic_at(const char *file, int line, const char *fmt, ...)
    AG_PRINTF(3, 4);

#endif
