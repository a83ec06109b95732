/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a verb's row and its options to a request, and from the answer to what
 * is printed.
 */
#include "cli.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ------------------------------------------------------- values to JSON */

static enum cli_exit
bad_value(const struct cli_option *option, const char *value, const char *want)
{
	return cli_fail(CLI_USAGE, "%s %s: %s", option->name, value, want);
}

static enum cli_exit
int_value(const struct cli_option *option, const char *text, json_t **out)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < 0)
		return bad_value(option, text, "a whole number is wanted");
	*out = json_integer(n);
	return CLI_OK;
}

static enum cli_exit
duration_value(const struct cli_option *option, const char *text, json_t **out)
{
	int64_t seconds;

	if (!ag_duration_parse(text, &seconds))
		return bad_value(option, text, "say 90s, 15m, 1h or 30d");
	*out = json_integer(seconds);
	return CLI_OK;
}

static enum cli_exit
time_value(const struct cli_option *option, const char *text, json_t **out)
{
	bool ahead = option->type == CLI_TIME_AHEAD;
	int64_t seconds, ms;
	char buf[AG_TIME_TEXT];
	struct timespec now;

	if (ag_duration_parse(text, &seconds)) {
		(void)clock_gettime(CLOCK_REALTIME, &now);
		ms = (now.tv_sec + (ahead ? seconds : -seconds)) * INT64_C(1000);
	} else if (!ag_time_parse(text, &ms))
		return bad_value(option, text, ahead
		        ? "say 2h (from now) or 2026-11-20T21:33:14Z"
		        : "say 2h (before now) or 2026-11-20T21:33:14Z");
	ag_time_text(ms, buf);
	*out = json_string(buf);
	return CLI_OK;
}

enum cli_exit
cli_time(const char *name, const char *text, json_t **out)
{
	struct cli_option option = { .name = name, .type = CLI_TIME };

	return time_value(&option, text, out);
}

static enum cli_exit
file_value(const struct cli_option *option, const char *name, json_t **out)
{
	char *bytes, *text;
	size_t len;
	enum cli_exit status = cli_read(name, CLI_INPUT_MAX, &bytes, &len);

	if (status != CLI_OK)
		return status;
	text = option->type == CLI_TEXT_FILE ? bytes : cli_base64_text(bytes, len);
	*out = text == NULL ? NULL : json_string(text);
	if (*out == NULL)
		status = cli_fail(CLI_USAGE, "%s %s: not text", option->name, name);
	if (text != NULL && text != bytes) {
		ag_wipe(text, strlen(text));
		free(text);
	}
	ag_wipe(bytes, len);
	free(bytes);
	return status;
}

static enum cli_exit
list_value(const struct cli_option *option, const struct cli_value *value,
    json_t **out)
{
	char *copy, *rest, *word;

	*out = json_array();
	for (unsigned i = 0; i < value->count; i++) {
		if (option->type != CLI_LIST) {
			(void)json_array_append_new(*out, json_string(value->at[i]));
			continue;
		}
		copy = rest = strdup(value->at[i]);
		while (copy != NULL && (word = strsep(&rest, ",")) != NULL)
			(void)json_array_append_new(*out, json_string(word));
		free(copy);
	}
	return CLI_OK;
}

static enum cli_exit
pairs_value(const struct cli_option *option, const struct cli_value *value,
    json_t **out)
{
	const char *equals;
	char key[256];

	*out = json_object();
	for (unsigned i = 0; i < value->count; i++) {
		equals = strchr(value->at[i], '=');
		if (equals == NULL || equals == value->at[i] ||
		    (size_t)(equals - value->at[i]) >= sizeof(key))
			return bad_value(option, value->at[i], "say KEY=VALUE");
		(void)snprintf(key, sizeof(key), "%.*s",
		    (int)(equals - value->at[i]), value->at[i]);
		if (json_object_get(*out, key) != NULL)
			return bad_value(option, key, "given twice");
		(void)json_object_set_new(*out, key, json_string(equals + 1));
	}
	return CLI_OK;
}

static enum cli_exit
to_json(const struct cli_option *option, const struct cli_value *value,
    json_t **out)
{
	const char *first = value->count == 0 ? "-" : value->at[0];

	switch (option->type) {
	case CLI_LOCAL:
	case CLI_STR:
		*out = json_string(first);
		return *out != NULL ? CLI_OK
		                    : bad_value(option, "", "not UTF-8 text");
	case CLI_FLAG:
		*out = option->fixed == NULL ? json_true()
		                             : json_string(option->fixed);
		return CLI_OK;
	case CLI_LIST:
	case CLI_WORDS:
	case CLI_WHOLE:
		return list_value(option, value, out);
	case CLI_PAIRS:
		return pairs_value(option, value, out);
	case CLI_INT:
		return int_value(option, first, out);
	case CLI_DURATION:
		return duration_value(option, first, out);
	case CLI_TIME:
	case CLI_TIME_AHEAD:
		return time_value(option, first, out);
	case CLI_TEXT_FILE:
	case CLI_BYTES:
	case CLI_INPUT:
		return file_value(option, first, out);
	}
	return CLI_FAULT;
}

static enum cli_exit
set_member(json_t *body, const char *member, json_t *value)
{
	const char *dot = strchr(member, '.');
	char head[64];
	json_t *inner;

	if (dot == NULL) {
		if (json_object_set_new(body, member, value) != 0)
			return cli_fail(CLI_USAGE, "%s: not UTF-8 text", member);
		return CLI_OK;
	}
	(void)snprintf(head, sizeof(head), "%.*s", (int)(dot - member), member);
	inner = json_object_get(body, head);
	if (inner == NULL) {
		inner = json_object();
		(void)json_object_set_new(body, head, inner);
	}
	return set_member(inner, dot + 1, value);
}

enum cli_exit
cli_body(const struct cli *cli, json_t **body)
{
	const struct cli_option *o = cli->verb->options;
	enum cli_exit status;
	json_t *value;

	*body = NULL;
	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++) {
		if (o[i].member == NULL ||
		    (cli->values[i].count == 0 && o[i].type != CLI_INPUT &&
		    o[i].type != CLI_WHOLE))
			continue;
		value = NULL;
		status = to_json(&o[i], &cli->values[i], &value);
		if (*body == NULL)
			*body = json_object();
		if (status == CLI_OK)
			status = set_member(*body, o[i].member, value);
		else
			json_decref(value);
		if (status != CLI_OK)
			return status;
	}
	return CLI_OK;
}

/* ------------------------------------------------------- values to a path */

static enum cli_exit
append_escaped(char *out, size_t size, const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, (int)strlen(text));
	size_t used = strlen(out);
	bool fits = escaped != NULL && used + strlen(escaped) < size;

	if (fits)
		(void)snprintf(out + used, size - used, "%s", escaped);
	curl_free(escaped);
	return fits ? CLI_OK : cli_fail(CLI_USAGE, "too many or too long words");
}

static enum cli_exit
append(char *out, size_t size, const char *text, size_t len)
{
	size_t used = strlen(out);

	if (used + len >= size)
		return cli_fail(CLI_USAGE, "too many or too long words");
	(void)snprintf(out + used, size - used, "%.*s", (int)len, text);
	return CLI_OK;
}

enum cli_exit
cli_path(const struct cli *cli, const char *template, char *out, size_t size)
{
	enum cli_exit status = CLI_OK;
	const char *open, *close, *word;
	char name[32];

	out[0] = '\0';
	while (status == CLI_OK && (open = strchr(template, '{')) != NULL) {
		close = strchr(open, '}');
		(void)snprintf(name, sizeof(name), "%.*s", (int)(close - open - 1),
		    open + 1);
		status = append(out, size, template, (size_t)(open - template));
		word = cli_get(cli, name);
		/* "." and ".." would be taken for folders on the way. */
		if (word == NULL || word[0] == '\0' || strcmp(word, ".") == 0 ||
		    strcmp(word, "..") == 0)
			return cli_fail(CLI_USAGE, "%s is not a name", name);
		if (status == CLI_OK)
			status = append_escaped(out, size, word);
		template = close + 1;
	}
	return status == CLI_OK ? append(out, size, template, strlen(template))
	                        : status;
}

static enum cli_exit
append_query(char *out, size_t size, const struct cli_option *option,
    const char *text)
{
	enum cli_exit status;

	status = append(out, size, strchr(out, '?') == NULL ? "?" : "&", 1);
	if (status == CLI_OK)
		status = append(out, size, option->member, strlen(option->member));
	if (status == CLI_OK)
		status = append(out, size, "=", 1);
	return status == CLI_OK ? append_escaped(out, size, text) : status;
}

/* A flag is 1 in a query; K=V is its own text; the rest as in JSON. */
static enum cli_exit
query_value(const struct cli_option *option, const struct cli_value *value,
    char *out, size_t size)
{
	enum cli_exit status;
	json_t *json = NULL;
	char number[32];

	if (option->type == CLI_FLAG)
		return append_query(out, size, option,
		    option->fixed == NULL ? "1" : option->fixed);
	if (option->type == CLI_PAIRS || option->type == CLI_LIST ||
	    option->type == CLI_WORDS || option->type == CLI_WHOLE) {
		if (value->count > 1)
			return cli_fail(CLI_USAGE, "%s is given twice", option->name);
		return append_query(out, size, option, value->at[0]);
	}
	if ((status = to_json(option, value, &json)) != CLI_OK)
		return status;
	if (json_is_integer(json)) {
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(json));
		status = append_query(out, size, option, number);
	} else
		status = append_query(out, size, option, json_string_value(json));
	json_decref(json);
	return status;
}

enum cli_exit
cli_path_query(const struct cli *cli, const char *template, char *out,
    size_t size)
{
	const struct cli_option *o = cli->verb->options;
	enum cli_exit status = cli_path(cli, template, out, size);

	for (unsigned i = 0; status == CLI_OK && o != NULL && o[i].name != NULL; i++)
		if (o[i].member != NULL && cli->values[i].count > 0)
			status = query_value(&o[i], &cli->values[i], out, size);
	return status;
}

/* ------------------------------------------------------------- requests */

static bool
has_body(const struct cli_verb *verb)
{
	return strcmp(verb->method, "GET") != 0 && strcmp(verb->method, "DELETE") != 0;
}

enum cli_exit
cli_request(struct cli *cli, json_t **answer)
{
	const struct cli_verb *verb = cli->verb;
	char path[CLI_URL_MAX];
	json_t *body = NULL;
	enum cli_exit status;

	if ((status = cli_resolve(cli, true)) != CLI_OK)
		return status;
	if (has_body(verb)) {
		status = cli_path(cli, verb->path, path, sizeof(path));
		if (status == CLI_OK)
			status = cli_body(cli, &body);
	} else
		status = cli_path_query(cli, verb->path, path, sizeof(path));
	if (status == CLI_OK)
		status = cli_http(cli, verb->method, path, body, answer);
	json_decref(body);
	return status;
}

static void
print_items(const struct cli *cli, struct cli_table *table, const json_t *items)
{
	const json_t *item;
	size_t i;

	if (!cli->json) {
		cli_rows(table, items, !cli->quiet);
		return;
	}
	json_array_foreach((json_t *)items, i, item)
		cli_json_line(item);
}

/* How many of the next page, and which; the query's own limit is the whole. */
enum cli_exit
cli_page_path(const char *base, long long left, const char *cursor, char *path,
    size_t size)
{
	long long page = left < CLI_PAGE ? left : CLI_PAGE;
	int used = snprintf(path, size, "%s%slimit=%lld", base,
	    strchr(base, '?') == NULL ? "?" : "&", page);

	if (used < 0 || (size_t)used >= size)
		return cli_fail(CLI_USAGE, "too many or too long words");
	if (cursor == NULL || cursor[0] == '\0')
		return CLI_OK;
	if (append(path, size, "&cursor=", 8) != CLI_OK)
		return CLI_USAGE;
	return append_escaped(path, size, cursor);
}

static enum cli_exit
limit_of(const struct cli *cli, long long *limit)
{
	const struct cli_option *o = cli->verb->options;
	const char *text = NULL;
	char *end;

	*limit = INT64_MAX;
	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (strcmp(o[i].name, "--limit") == 0 && cli->values[i].count > 0)
			text = cli->values[i].at[0];
	if (text == NULL)
		return CLI_OK;
	errno = 0;
	*limit = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || *limit < 1)
		return cli_fail(CLI_USAGE, "--limit %s: a number from 1", text);
	return CLI_OK;
}

/* Page after page, printed as they come. */
static enum cli_exit
run_table(struct cli *cli)
{
	struct cli_table table = { .columns = cli->verb->columns,
	    .csv = cli->csv };
	char base[CLI_URL_MAX], path[CLI_URL_MAX];
	json_t *answer = NULL, *last = NULL, *items;
	enum cli_exit status;
	unsigned long long done = 0;
	long long left;
	const char *cursor = NULL;

	if ((status = limit_of(cli, &left)) != CLI_OK ||
	    (status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = cli_path_query(cli, cli->verb->path, base, sizeof(base))) !=
	        CLI_OK)
		return status;
	do {
		status = cli_page_path(base, left, cursor, path, sizeof(path));
		if (status == CLI_OK)
			status = cli_http(cli, "GET", path, NULL, &answer);
		if (status != CLI_OK)
			break;
		json_decref(last);
		last = answer;
		items = json_object_get(answer, "items");
		print_items(cli, &table, items);
		left -= (long long)json_array_size(items);
		done += json_array_size(items);
		cli_progress(cli, "items", done);
		cursor = json_string_value(json_object_get(answer, "next_cursor"));
	} while (cursor != NULL && left > 0);
	cli_progress_end(cli);
	json_decref(last);
	return status;
}

/* A file with one of these is for its owner alone. */
static bool
is_secret(const char *member)
{
	static const char *const members[] = { "plaintext_b64", "key_b64", "random_b64" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(members[i], member) == 0)
			return true;
	return false;
}

static enum cli_exit
run_data(struct cli *cli, const json_t *answer)
{
	return cli_data(cli, cli_member_text(answer, cli->verb->columns),
	    is_secret(cli->verb->columns));
}

static enum cli_exit
print_answer(struct cli *cli, const json_t *answer)
{
	const struct cli_verb *verb = cli->verb;
	struct cli_table table = { .columns = verb->columns, .csv = cli->csv };
	bool valid = json_is_true(json_object_get(answer, "valid"));

	if (verb->print == CLI_VALID) {
		if (cli->json)
			cli_json_line(answer);
		else if (!cli->quiet)
			puts(valid ? "valid" : "invalid");
		return valid ? CLI_OK : CLI_NO;
	}
	if (verb->print == CLI_ITEMS) {
		print_items(cli, &table, json_object_get(answer, "items"));
		return CLI_OK;
	}
	if (cli->json)
		cli_json_line(answer);
	else if (verb->print == CLI_DATA)
		return run_data(cli, answer);
	else if (verb->print == CLI_OBJECT)
		cli_object(answer);
	else if (verb->print == CLI_LINE && !cli->quiet)
		cli_line(verb->columns, answer);
	return CLI_OK;
}

enum cli_exit
cli_run(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status;

	if (cli->csv && (cli->json || cli->verb->run != NULL ||
	    (cli->verb->print != CLI_TABLE && cli->verb->print != CLI_ITEMS)))
		return cli_fail(CLI_USAGE, "--csv is for lists, and without --json");
	if (cli->verb->run != NULL)
		return cli->verb->run(cli);
	if (cli->verb->print == CLI_TABLE)
		return run_table(cli);
	status = cli_request(cli, &answer);
	if (status == CLI_OK)
		status = print_answer(cli, answer);
	json_decref(answer);
	return status;
}
