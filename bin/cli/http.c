/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request over libcurl, and how a refusal becomes words and an exit
 * status.
 */
#include "cli.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct answer {
	char *bytes;
	size_t len;
	/* lines mode */
	bool (*line)(void *arg, const char *text);
	void *arg;
	CURL *curl;
	bool stopped;
};

/* Hands complete lines on; what is left is moved to the front. */
static bool
hand_lines(struct answer *a)
{
	char *start = a->bytes, *end;

	while ((end = memchr(start, '\n', a->len - (size_t)(start - a->bytes))) !=
	    NULL) {
		*end = '\0';
		if (!a->line(a->arg, start))
			return false;
		start = end + 1;
	}
	a->len -= (size_t)(start - a->bytes);
	memmove(a->bytes, start, a->len);
	return true;
}

static size_t
on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct answer *a = arg;
	size_t len = size * count;
	long status = 0;
	char *more;

	if (a->len + len > CLI_ANSWER_MAX)
		return 0;
	more = realloc(a->bytes, a->len + len + 1);
	if (more == NULL)
		return 0;
	a->bytes = more;
	memcpy(a->bytes + a->len, bytes, len);
	a->len += len;
	a->bytes[a->len] = '\0';
	(void)curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	if (a->line != NULL && status == 200 && !hand_lines(a)) {
		a->stopped = true;
		return 0;
	}
	return len;
}

static enum cli_exit
exit_of(const json_t *problem, long status)
{
	static const struct { long from; enum cli_exit exit; } by_status[] = {
		{ 500, CLI_FAULT }, { 429, CLI_TRY_AGAIN }, { 422, CLI_USAGE },
		{ 413, CLI_USAGE }, { 412, CLI_CONFLICT }, { 410, CLI_USAGE },
		{ 409, CLI_CONFLICT }, { 405, CLI_USAGE }, { 404, CLI_NOT_FOUND },
		{ 403, CLI_DENIED }, { 401, CLI_UNAUTHENTICATED }, { 400, CLI_USAGE },
	};
	const char *code = json_string_value(json_object_get(problem, "code"));
	ag_err err = code == NULL ? AG_OK : ag_err_from_code(code);

	if (err != AG_OK)
		return (enum cli_exit)ag_err_row(err)->cli_exit;
	if (status == 503 || status == 504)
		return CLI_TRY_AGAIN;
	for (size_t i = 0; i < sizeof(by_status) / sizeof(by_status[0]); i++)
		if (status >= by_status[i].from)
			return by_status[i].exit;
	return CLI_FAULT;
}

/* Can the challenge be answered by this? */
static bool
has_method(const json_t *problem, const char *method)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(problem, "methods"), i, one)
		if (json_is_string(one) &&
		    strcmp(json_string_value(one), method) == 0)
			return true;
	return false;
}

/* aegis: <code>/<reason_code>: <detail> (request <id>), and the hint, which says
 * first where it is wrong. */
static enum cli_exit
refused(const json_t *problem, long status)
{
	const char *code = cli_member_text(problem, "code");
	const char *reason = cli_member_text(problem, "reason_code");
	const char *detail = cli_member_text(problem, "detail");
	const char *field = cli_member_text(problem, "field");
	const char *hint = cli_hint_for(problem);
	enum cli_exit result = exit_of(problem, status);

	if (code[0] == '\0')
		return cli_fail(result, "the server answered %ld without a reason",
		    status);
	(void)fflush(stdout);
	fputs("aegis: ", stderr);
	cli_put(stderr, code);
	fputs(reason[0] == '\0' ? "" : "/", stderr);
	cli_put(stderr, reason);
	fputs(": ", stderr);
	cli_put(stderr, detail);
	fputs(" (request ", stderr);
	cli_put(stderr, cli_member_text(problem, "request_id"));
	fputs(")\n", stderr);
	if (field[0] != '\0' || hint[0] != '\0')
		cli_hint("%s%s%s%s", field[0] == '\0' ? "" : "at ", field,
		    field[0] == '\0' || hint[0] == '\0' ? "" : ": ", hint);
	if (has_method(problem, "webauthn"))
		cli_hint("aegis webauthn show %s says what your key is to sign; "
		    "answer it, and do the same again with a --code-file that "
		    "holds this id", cli_member_text(problem, "challenge_id"));
	return result;
}

/* A field of the request, if there is a value; what is no text of a header is
 * not sent. */
static struct curl_slist *
add_field(struct curl_slist *list, const char *name, const char *value)
{
	char field[512];

	if (value == NULL || strpbrk(value, "\r\n") != NULL ||
	    snprintf(field, sizeof(field), "%s: %s", name, value) >=
	    (int)sizeof(field))
		return list;
	return curl_slist_append(list, field);
}

static struct curl_slist *
headers_of(const struct cli *cli, bool body)
{
	char auth[CLI_TOKEN_MAX + 32];
	struct curl_slist *list = NULL;

	if (cli->token[0] != '\0') {
		(void)snprintf(auth, sizeof(auth), "Authorization: Bearer %s",
		    cli->token);
		list = curl_slist_append(list, auth);
		ag_wipe(auth, sizeof(auth));
	}
	if (cli->step_up[0] != '\0') {
		(void)snprintf(auth, sizeof(auth), "Aegis-Step-Up: %s",
		    cli->step_up);
		list = curl_slist_append(list, auth);
	}
	list = add_field(list, "Aegis-Approval", cli->approval);
	list = add_field(list, "Aegis-Break-Glass", cli->break_glass);
	list = add_field(list, "Aegis-Reason", cli->why);
	if (body)
		list = curl_slist_append(list, "Content-Type: application/json");
	/* curl would wait a second for "100 Continue" on a large body */
	return curl_slist_append(list, "Expect:");
}

static long
timeout_ms(const struct cli *cli)
{
	int64_t seconds = 10;

	if (cli->timeout != NULL && !ag_duration_parse(cli->timeout, &seconds))
		return -1;
	return (long)seconds * 1000;
}

static void
set_up(struct cli *cli, struct answer *a, const char *method, const char *url,
    struct curl_slist *headers, const char *body)
{
	CURL *c = a->curl;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "aegis-cli");
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms(cli));
	if (a->line == NULL)
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms(cli));
	/* Loopback is never behind a proxy, and a token is nobody else's. */
	curl_easy_setopt(c, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1,0.0.0.0,::");
	if (cli->ca[0] != '\0')
		curl_easy_setopt(c, CURLOPT_CAINFO, cli->ca);
	if (cli->nameless)
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	if (body != NULL)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
}

/* ------------------------------------------------------------ second factor */

static bool
is_code(const json_t *problem, const char *code)
{
	return strcmp(cli_member_text(problem, "code"), code) == 0;
}

/* "<challenge> totp=<code>", if it is a code; or a challenge that was answered
 * by itself. */
static bool
take_code(struct cli *cli, const char *challenge, const char *code)
{
	if (strncmp(code, "chl_", 4) == 0 && strlen(code) == 36) {
		(void)snprintf(cli->step_up, sizeof(cli->step_up), "%s", code);
		return true;
	}
	if (strlen(code) != 6 || strspn(code, "0123456789") != 6)
		return false;
	(void)snprintf(cli->step_up, sizeof(cli->step_up), "%.48s totp=%s",
	    challenge, code);
	return true;
}

/* A file has one code: it is tried once. */
static bool
read_code(struct cli *cli, const char *challenge)
{
	char *text = NULL;
	size_t len;
	bool got = cli_read(cli->code_file, 64, &text, &len) == CLI_OK;

	if (got)
		text[strcspn(text, " \r\n")] = '\0';
	got = got && take_code(cli, challenge, text);
	free(text);
	cli->code_file = NULL;
	return got;
}

/* Of what the person at the terminal types; false: nobody is there, or nothing
 * like a code came. Where a FIDO2 key may answer, an empty line says that it
 * has (aegis webauthn answer). */
static bool
ask_code(struct cli *cli, const json_t *problem, const char *challenge)
{
	bool key = has_method(problem, "webauthn");
	char line[64] = "";
	FILE *tty;
	bool got;

	if (cli->code_file != NULL)
		return read_code(cli, challenge);
	if (!isatty(STDERR_FILENO) || (tty = fopen("/dev/tty", "r+")) == NULL)
		return false;
	fputs("aegis: this needs your second factor.", tty);
	if (key)
		fprintf(tty, " Answer %.36s with a key and press Enter%s", challenge,
		    has_method(problem, "totp") ? ", or give a" : ":");
	fputs(!key || has_method(problem, "totp") ? " Code: " : " ", tty);
	(void)fflush(tty);
	got = fgets(line, sizeof(line), tty) != NULL;
	(void)fclose(tty);
	line[strcspn(line, " \r\n")] = '\0';
	return got && take_code(cli, challenge, key && line[0] == '\0' ?
	    challenge : line);
}

/* The same request again, with a code, where a person can give one. */
static bool
step_up(struct cli *cli, const json_t *problem, unsigned tried)
{
	char challenge[64];

	if (tried == CLI_CODES_ASKED)
		return false;
	if (is_code(problem, "StepUpRequired"))
		return ask_code(cli, problem,
		    cli_member_text(problem, "challenge_id"));
	if (!is_code(problem, "StepUpFailed") || cli->step_up[0] == '\0' ||
	    strncmp(cli_member_text(problem, "reason_code"), "code_", 5) != 0)
		return false;
	(void)snprintf(challenge, sizeof(challenge), "%.*s",
	    (int)strcspn(cli->step_up, " "), cli->step_up);
	fputs("aegis: the code was not accepted\n", stderr);
	return ask_code(cli, NULL, challenge);
}

/* There was no answer: why, and what a person can do. */
static enum cli_exit
no_answer(const struct cli *cli, CURLcode rc)
{
	if (rc == CURLE_SSL_CACERT_BADFILE)
		return cli_fail(CLI_USAGE, "--ca-file %s: no PEM certificate can be "
		    "read there", cli->ca);
	if (rc == CURLE_PEER_FAILED_VERIFICATION)
		return cli_fail(CLI_TRY_AGAIN, "%s: its certificate is not good: not "
		    "from %s, not for that name, or over\nhint: --ca-file names the "
		    "authority (aegis tls init made a ca.pem); aegis doctor looks at "
		    "the certificate", cli->url, cli->ca[0] == '\0' ?
		    "an authority that this machine knows" : cli->ca);
	return cli_fail(CLI_TRY_AGAIN, "%s: %s%s", cli->url, curl_easy_strerror(rc),
	    rc == CURLE_COULDNT_CONNECT ? "\nhint: aegis status says whether a "
	    "fleet runs here" : "");
}

/* *again: it is to be asked once more, with a code. */
static enum cli_exit
judge(struct cli *cli, const struct answer *a, CURLcode rc, unsigned tried,
    bool *again, json_t **out)
{
	json_t *parsed = NULL;
	json_error_t where;
	long status = 0;
	enum cli_exit result = CLI_OK;

	*again = false;
	if (rc != CURLE_OK && !(a->stopped && rc == CURLE_WRITE_ERROR))
		return no_answer(cli, rc);
	(void)curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	if (a->line != NULL && status == 200)
		return CLI_OK;
	if (a->len > 0)
		parsed = json_loadb(a->bytes, a->len, JSON_REJECT_DUPLICATES, &where);
	*again = status == 401 && step_up(cli, parsed, tried);
	if (!*again && (status < 200 || status > 299))
		result = refused(parsed, status);
	else if (!*again && parsed == NULL)
		result = cli_fail(CLI_FAULT, "%s: the answer is not JSON", cli->url);
	if (!*again && result == CLI_OK && out != NULL)
		*out = json_incref(parsed);
	json_decref(parsed);
	return result;
}

static enum cli_exit
perform(struct cli *cli, const char *method, const char *path, const char *body,
    struct answer *a, json_t **out)
{
	char url[2 * CLI_URL_MAX];
	struct curl_slist *headers;
	enum cli_exit status;
	unsigned tried = 0;
	bool again = false;

	if (timeout_ms(cli) <= 0)
		return cli_fail(CLI_USAGE, "--timeout %s: say 10s, 2m", cli->timeout);
	a->curl = curl_easy_init();
	if (a->curl == NULL)
		return cli_fail(CLI_FAULT, "out of memory");
	(void)snprintf(url, sizeof(url), "%s%s", cli->url, path);
	do {
		a->len = 0;
		curl_easy_reset(a->curl);
		headers = headers_of(cli, body != NULL);
		set_up(cli, a, method, url, headers, body);
		status = judge(cli, a, curl_easy_perform(a->curl), tried++,
		    &again, out);
		curl_slist_free_all(headers);
	} while (again);
	cli->step_up[0] = '\0';
	curl_easy_cleanup(a->curl);
	if (a->bytes != NULL)
		ag_wipe(a->bytes, a->len); /* it may hold plaintext */
	free(a->bytes);
	return status;
}

/* Without a token and without a word: the caller says what it means. */
const char *
cli_http_probe(struct cli *cli, const char *path, long *status, json_t **answer)
{
	struct answer a = { .curl = curl_easy_init() };
	char url[2 * CLI_URL_MAX];
	CURLcode rc;

	if (a.curl == NULL || timeout_ms(cli) <= 0) {
		curl_easy_cleanup(a.curl);
		return "--timeout: say 10s, 2m";
	}
	(void)snprintf(url, sizeof(url), "%s%s", cli->url, path);
	set_up(cli, &a, "GET", url, NULL, NULL);
	rc = curl_easy_perform(a.curl);
	(void)curl_easy_getinfo(a.curl, CURLINFO_RESPONSE_CODE, status);
	*answer = a.len > 0 ? json_loadb(a.bytes, a.len, JSON_REJECT_DUPLICATES,
	    NULL) : NULL;
	curl_easy_cleanup(a.curl);
	free(a.bytes);
	return rc == CURLE_OK ? NULL : curl_easy_strerror(rc);
}

const char *
cli_http_post(struct cli *cli, const char *path, const char *const *fields,
    const char *body, long *status, char **answer, const char *wanted,
    char *value, size_t size)
{
	static CURL *kept; /* its connection stays open for the next one */
	struct curl_slist *headers = headers_of(cli, true);
	char url[2 * CLI_URL_MAX];
	struct curl_header *field;
	struct answer a = { 0 };
	CURLcode rc;

	if (kept == NULL)
		kept = curl_easy_init();
	if (kept == NULL || timeout_ms(cli) <= 0) {
		curl_slist_free_all(headers);
		return "--timeout: say 10s, 2m";
	}
	for (; *fields != NULL; fields++)
		headers = curl_slist_append(headers, *fields);
	a.curl = kept;
	(void)snprintf(url, sizeof(url), "%s%s", cli->url, path);
	curl_easy_reset(kept);
	set_up(cli, &a, "POST", url, headers, body);
	rc = curl_easy_perform(kept);
	(void)curl_easy_getinfo(kept, CURLINFO_RESPONSE_CODE, status);
	if (curl_easy_header(kept, wanted, 0, CURLH_HEADER, -1, &field) ==
	    CURLHE_OK && strlen(field->value) < size)
		(void)snprintf(value, size, "%s", field->value);
	curl_slist_free_all(headers);
	*answer = a.bytes;
	return rc == CURLE_OK ? NULL : curl_easy_strerror(rc);
}

enum cli_exit
cli_http(struct cli *cli, const char *method, const char *path,
    const json_t *body, json_t **answer)
{
	struct answer a = { 0 };
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	enum cli_exit status;

	if (body != NULL && text == NULL)
		return cli_fail(CLI_FAULT, "out of memory");
	status = perform(cli, method, path, text, &a, answer);
	if (text != NULL)
		ag_wipe(text, strlen(text));
	free(text);
	return status;
}

enum cli_exit
cli_http_lines(struct cli *cli, const char *path,
    bool (*line)(void *arg, const char *text), void *arg)
{
	struct answer a = { .line = line, .arg = arg };

	return perform(cli, "GET", path, NULL, &a, NULL);
}
