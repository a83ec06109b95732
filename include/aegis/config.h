/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: one table of keys (config.def), one parser, typed reads.
 * A list's rows are read by index: ag_config_str(ctx, "responder.rules[].action", 2).
 */
#ifndef AEGIS_CONFIG_H
#define AEGIS_CONFIG_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ag_ctx;
struct ag_config; /* parsed, validated, with defaults */

enum ag_config_type {
	AG_CFG_STRING,
	AG_CFG_PATH,
	AG_CFG_WORD,     /* one of the words in `range`, separated by | */
	AG_CFG_BOOL,
	AG_CFG_INT,      /* range "min..max"; sizes take K, M, G */
	AG_CFG_DURATION_S, /* 90s 15m 1h 30d or seconds */
	AG_CFG_NUMBER,   /* range "min..max" */
	AG_CFG_LISTEN,   /* host:port */
	AG_CFG_STRINGS,  /* a sequence of strings */
	AG_CFG_WORDS,    /* a sequence, each of the words in `range` */
};

struct ag_config_key {
	const char *path; /* "rest.listen", "responder.rules[].action" */
	enum ag_config_type type;
	const char *fallback; /* default, as it would be written; NULL: none */
	const char *range;
	const char *help;
};
/* The i-th key of the table, NULL past the end. */
const struct ag_config_key *ag_config_key_at(unsigned i);

/*
 * Parses the file (NULL: defaults only). On a mistake returns AG_USAGE and
 * says "file:line: key: what would be right" in message. The caller frees.
 */
ag_err ag_config_load(const char *file, struct ag_config **out, char *message,
    size_t message_size) AG_MUST;
void ag_config_free(struct ag_config **config);
/* Flat text (path, index, value a line), for a child's boot message, and back. */
ag_err ag_config_pack(const struct ag_config *config, char **text) AG_MUST;
ag_err ag_config_unpack(const char *text, struct ag_config **out) AG_MUST;

/* Reads. An unknown path is our own bug (panic). i: row of a list, else 0. */
const char *ag_config_get_str(const struct ag_config *c, const char *path,
    unsigned i); /* NULL if unset and without default */
int64_t ag_config_get_int(const struct ag_config *c, const char *path,
    unsigned i);  /* INT, DURATION_S, BOOL */
double ag_config_get_number(const struct ag_config *c, const char *path,
    unsigned i);
unsigned ag_config_get_count(const struct ag_config *c, const char *list);
/* A STRINGS value: the j-th string, NULL past the end. */
const char *ag_config_get_item(const struct ag_config *c, const char *path,
    unsigned i, unsigned j);
const char *ag_config_get_where(const struct ag_config *c, const char *path,
    unsigned i); /* "file:line", for later complaints */

/*
 * "host[:port]" or "[v6][:port]", up to a path: this very machine? The whole
 * host says so, not how it begins (127.evil.example is not), and nothing stands
 * before it (user@).
 */
bool ag_is_loopback(const char *authority);

/* The same for an actor's own configuration. */
const struct ag_config *ag_config(struct ag_ctx *ctx);
#define ag_config_str(ctx, path, i) ag_config_get_str(ag_config(ctx), path, i)
#define ag_config_int(ctx, path) ag_config_get_int(ag_config(ctx), path, 0)
#define ag_config_number(ctx, path) ag_config_get_number(ag_config(ctx), path, 0)
#define ag_config_count(ctx, list) ag_config_get_count(ag_config(ctx), list)

#endif
