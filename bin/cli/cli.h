/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aegis command: one row a verb. Most verbs are pure rows (method, path,
 * how options become JSON members or query parameters, which columns to
 * print); a row with a function does more. The usage lines, the manual page
 * and the shell completion are printed from the same rows.
 */
#ifndef AEGIS_CLI_H
#define AEGIS_CLI_H

#include <aegis/aegis.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	CLI_OPTIONS_MAX = 24,      /* per verb */
	CLI_REPEAT_MAX = 256,      /* of one option */
	CLI_PATH_MAX = 4096,       /* bytes of a file name */
	CLI_URL_MAX = 16384,
	CLI_TOKEN_MAX = 8192,
	CLI_INPUT_MAX = 4 << 20,   /* bytes of --in; the server's limit is below it */
	CLI_ANSWER_MAX = 64 << 20,
	CLI_PAGE = 1000,
	CLI_STEP_UP_MAX = 96,
	CLI_CODES_ASKED = 3, /* of a person, for one request */
};

/* Exit statuses (docs/reference.md). */
enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1,
	CLI_USAGE = 2,
	CLI_UNAUTHENTICATED = 3,
	CLI_NOT_FOUND = 4,
	CLI_DENIED = 5,
	CLI_CONFLICT = 6,
	CLI_TRY_AGAIN = 7,
	CLI_FAULT = 8,
	CLI_INTERRUPTED = 130,
};

enum cli_type {
	CLI_STR,
	CLI_LIST,      /* repeated, or separated by commas: an array */
	CLI_WORDS,     /* repeated: an array; commas are part of the word */
	CLI_WHOLE,     /* the same, and sent without a word, too: an empty one */
	CLI_PAIRS,     /* repeated K=V: an object; in a query: the text itself */
	CLI_INT,
	CLI_DURATION,  /* 90s 15m 1h 30d: seconds */
	CLI_TIME,      /* a timestamp, or a duration before now */
	CLI_TIME_AHEAD, /* a timestamp, or a duration from now */
	CLI_FLAG,      /* true, or the text in `fixed` */
	CLI_TEXT_FILE, /* the file's text */
	CLI_BYTES,     /* the file's bytes, base64 */
	CLI_INPUT,     /* the same, from standard input if not given */
	CLI_LOCAL,     /* for the verb's function only */
};

struct cli_option {
	const char *name;   /* "--reason"; without dashes it is a positional */
	const char *arg;    /* what the value is called; NULL for a flag */
	enum cli_type type;
	const char *member; /* JSON member ("a.b" nests) or query name; NULL: none */
	bool required;
	const char *help;
	const char *fixed;
};

enum cli_print {
	CLI_SILENT,
	CLI_LINE,   /* one line of the columns */
	CLI_TABLE,  /* pages of items, in columns */
	CLI_ITEMS,  /* an unpaged {items: […]}, in columns */
	CLI_OBJECT, /* name and value a line */
	CLI_DATA,   /* the base64 member named by `columns`, as bytes */
	CLI_VALID,  /* {valid}: exit 0 or 1 */
};

struct cli;
struct cli_verb {
	const char *noun; /* "key" */
	const char *verb; /* "create"; "" if the noun stands alone */
	const struct cli_option *options; /* ends with a NULL name; may be NULL */
	const char *method;
	const char *path; /* "/v1/keys/{KEY}/sign": positionals in braces */
	enum cli_print print;
	const char *columns; /* "HEAD:path.to.member|or.else,…" */
	enum cli_exit (*run)(struct cli *cli); /* instead of the request */
	const char *help;
	/* Another program's main: gets the options as words, in their order. */
	int (*dispatch)(int argc, char **argv);
	/* What follows the verb in the example; NULL: made of the rows. */
	const char *example;
};

struct cli_value {
	const char *at[CLI_REPEAT_MAX];
	unsigned count;
};

struct cli {
	const struct cli_verb *verb;
	struct cli_value values[CLI_OPTIONS_MAX]; /* by row of verb->options */
	bool json, csv, quiet, help;
	const char *server, *ca_file, *token_file, *context, *state, *timeout;
	const char *approval, *break_glass, *why, *code_file;
	/* what they came to, see context.c */
	char url[CLI_URL_MAX];
	char ca[CLI_PATH_MAX];
	bool nameless; /* `ca` is the server's own certificate: whatever its name */
	char token[CLI_TOKEN_MAX];
	char step_up[CLI_STEP_UP_MAX]; /* Aegis-Step-Up of the next request */
};

/* ---- table.c: all verbs, and finding one */
const struct cli_verb *cli_verb_at(unsigned i); /* NULL past the end */
const struct cli_verb *cli_verb_find(const char *noun, const char *verb);
/* Is the i-th the first row of its noun? It stands for it in lists. */
bool cli_is_first(unsigned i);
bool cli_noun_known(const char *noun);
bool cli_noun_has_verbs(const char *noun); /* not alone: "key", not "up" */

/* ---- args.c */
extern const struct cli_option cli_globals[]; /* those of every verb */
bool cli_is_positional(const struct cli_option *option);
bool cli_repeats(const struct cli_option *option);
/* Takes the words after the verb. Says what is wrong and returns CLI_USAGE. */
enum cli_exit cli_args(struct cli *cli, int argc, char **argv);
/* One of the options that every verb takes, with its value in argv[*i + 1] or
 * after "="; false: not one. */
bool cli_args_global(struct cli *cli, int argc, char **argv, int *i,
    enum cli_exit *exit_status);
/* The option's value, NULL if it was not given. */
const char *cli_get(const struct cli *cli, const char *name);
const struct cli_value *cli_get_all(const struct cli *cli, const char *name);

/* ---- help.c: what the rows say to people */
extern const struct cli_exit_row {
	enum cli_exit status;
	const char *meaning;
} cli_exits[]; /* ends with a NULL meaning */
void cli_usage(const struct cli_verb *verb, FILE *out);
void cli_example(const struct cli_verb *verb, FILE *out);
void cli_help(const struct cli_verb *verb, FILE *out);
void cli_help_noun(const char *noun, FILE *out);
void cli_help_all(FILE *out);
void cli_help_first(FILE *out); /* what to type next */
/* The noun that the word means ("keys" is "key"). */
const char *cli_noun_of(const char *typed);
const char *cli_noun_help(const char *noun); /* what its verbs are about */
/* What was meant, among a verb's options, a noun's verbs, the nouns; NULL:
 * nothing is near. */
const char *cli_near_option(const struct cli_verb *verb, const char *typed);
const char *cli_near_verb(const char *noun, const char *typed);
const char *cli_near_noun(const char *typed);

/* ---- context.c: which server, as whom */
enum cli_exit cli_resolve(struct cli *cli, bool want_token);
/* The state directory: option, AEGIS_STATE, default. */
const char *cli_state_dir(const struct cli *cli, char *buf, size_t size);
enum cli_exit cli_login(struct cli *cli);
enum cli_exit cli_logout(struct cli *cli);
enum cli_exit cli_context_list(struct cli *cli);
enum cli_exit cli_context_use(struct cli *cli);

/* ---- file.c */
/* Whole file, "-" is stdin; *bytes is malloc'd and NUL-terminated. */
enum cli_exit cli_read(const char *name, size_t max, char **bytes, size_t *len);
/* As cli_read, of a 0600 file; refuses one that others can read. */
enum cli_exit cli_read_private(const char *name, size_t max, char **bytes,
    size_t *len);
/* A 0600 file (or "-") with a secret; refuses one that others can read. */
enum cli_exit cli_read_secret(const char *name, char *buf, size_t size);
/* Opens before the request is made, so that a secret is not lost to a typing
 * error. name "-" or NULL: stdout. */
enum cli_exit cli_create(const char *name, bool secret, FILE **out);
enum cli_exit cli_finish(FILE *out, const char *name);
char *cli_base64_text(const void *bytes, size_t len); /* malloc'd */

/* ---- hint.c: what to do about a problem, "" where nothing is known */
const char *cli_hint_of(const char *code);
const char *cli_hint_for(const json_t *problem);

/* ---- http.c */
/* One request; body and answer may be NULL. On failure it has said why. */
enum cli_exit cli_http(struct cli *cli, const char *method, const char *path,
    const json_t *body, json_t **answer);
/* Calls line(arg, text) for each line of the answer until it ends. */
enum cli_exit cli_http_lines(struct cli *cli, const char *path,
    bool (*line)(void *arg, const char *text), void *arg);

/* POSTs text with more fields (NULL at the end), over one kept connection.
 * NULL, *status and *answer (malloc'd; NULL: empty), and the value of the
 * answer's field `wanted` if it fits; or what went wrong. */
const char *cli_http_post(struct cli *cli, const char *path,
    const char *const *fields, const char *body, long *status, char **answer,
    const char *wanted, char *value, size_t size);

/* GET without a token at cli->url. NULL, *status and *answer (may be NULL); or
 * why there was no answer. */
const char *cli_http_probe(struct cli *cli, const char *path, long *status,
    json_t **answer);

/* ---- call.c: from options to a request and back */
enum cli_exit cli_body(const struct cli *cli, json_t **body);
enum cli_exit cli_path(const struct cli *cli, const char *template, char *out,
    size_t size);
/* Path with the options as its query. */
enum cli_exit cli_path_query(const struct cli *cli, const char *template,
    char *out, size_t size);
/* base, with the limit and cursor (NULL or empty: the first) of one page. */
enum cli_exit cli_page_path(const char *base, long long left,
    const char *cursor, char *path, size_t size);
enum cli_exit cli_request(struct cli *cli, json_t **answer);
/* A timestamp, or a duration before now, as the API has it; NULL: says what is
 * wrong with the option of that name. */
enum cli_exit cli_time(const char *name, const char *text, json_t **out);
enum cli_exit cli_run(struct cli *cli);

/* ---- print.c */
/* Columns are "HEAD:path|or.else,…"; ">HEAD" stands at the right. */
struct cli_table {
	const char *columns;
	const char *line_end; /* NULL: a newline */
	bool csv;             /* RFC 4180 */
	size_t widths[16];
	bool begun;
};
void cli_json_line(const json_t *value);
void cli_rows(struct cli_table *table, const json_t *items, bool header);
void cli_object(const json_t *object);
void cli_line(const char *columns, const json_t *object);
enum cli_exit cli_data(struct cli *cli, const char *text, bool secret);
const json_t *cli_member(const json_t *object, const char *path);
const char *cli_member_text(const json_t *object, const char *path);

/* ---- text.c: what may go to a terminal, and how wide it is */
void cli_put(FILE *out, const char *text); /* without control characters */
/* The same, cut to so many columns; how many it took. */
size_t cli_put_fit(FILE *out, const char *text, size_t width_max);
size_t cli_width(const char *text); /* of what cli_put would write */
size_t cli_terminal_width(void); /* of stdout; 0: it is none */
bool cli_colour(FILE *out);
/* Says "aegis: …" on stderr and returns status; "\nhint: …" may end it. */
enum cli_exit cli_fail(enum cli_exit status, const char *fmt, ...)
    AG_PRINTF(2, 3);
/* A line on stdout. */
void cli_say(const char *fmt, ...) AG_PRINTF(1, 2);
void cli_hint(const char *fmt, ...) AG_PRINTF(1, 2);
/* "120000 events", on stderr, where a person would otherwise see nothing. */
void cli_progress(const struct cli *cli, const char *what, unsigned long long n);
/* The same for what writes nothing until it is done. */
void cli_working(const struct cli *cli, const char *what, unsigned long long n);
void cli_progress_end(const struct cli *cli);

/* ---- man.c: the manual, in roff */
void cli_man_main(FILE *out);
void cli_man_noun(const char *noun, FILE *out);
enum cli_exit cli_man_files(const char *dir); /* every page, aegis-NOUN.1 */

/* ---- the verbs' own files */
extern const struct cli_verb cli_verbs_fleet[], cli_verbs_tls[],
    cli_verbs_identity[], cli_verbs_webauthn[], cli_verbs_keys[], cli_verbs_agents[],
    cli_verbs_audit[], cli_verbs_sinks[], cli_verbs_tools[], cli_verbs_approvals[],
    cli_verbs_demo[], cli_verbs_mcp[], cli_verbs_system[], cli_verbs_policy[],
    cli_verbs_authz[], cli_verbs_rot[],
    cli_verbs_backup[], cli_verbs_journal[], cli_verbs_init[];

enum cli_exit cli_audit_query(struct cli *cli);
enum cli_exit cli_audit_health(struct cli *cli);
enum cli_exit cli_doc(struct cli *cli);
enum cli_exit cli_key_import(struct cli *cli);
enum cli_exit cli_admin_token(struct cli *cli);
enum cli_exit cli_config_init(struct cli *cli);
enum cli_exit cli_doctor(struct cli *cli);
enum cli_exit cli_completion(struct cli *cli);

#endif
