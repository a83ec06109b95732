/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local: actors.d/NAME.yaml, a process of yours that the supervisor starts.
 *
 *     program: /usr/local/bin/my-actor   # absolute
 *     role: subscriber                   # subscriber | actor
 *     args: [--verbose]                  # optional
 *
 * libyaml's events, because they know the line of every word.
 */
#include "supervisor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum { ARGS_MAX = 64, VALUE_BYTES_MAX = 4096 };

struct reading {
	const char *file;
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool have_event;
	struct local_actor *out;
	char *message;
	size_t message_size;
};

AG_PRINTF(2, 3) static ag_err
wrong(struct reading *r, const char *fmt, ...)
{
	char text[256];
	size_t line = r->have_event ? r->event.start_mark.line + 1 :
	    r->parser.problem_mark.line + 1;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->message, r->message_size, "%s:%zu: %s", r->file, line, text);
	return AG_USAGE;
}

static ag_err
next(struct reading *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = false;
	if (!yaml_parser_parse(&r->parser, &r->event))
		return wrong(r, "%s", r->parser.problem != NULL ?
		    r->parser.problem : "is not YAML");
	r->have_event = true;
	return AG_OK;
}

/* The next event must be this; what says what would be right. */
static ag_err
expect(struct reading *r, yaml_event_type_t type, const char *what)
{
	ag_err err = next(r);

	if (err == AG_OK && r->event.type != type)
		err = wrong(r, "%s", what);
	return err;
}

static const char *
text_of(const struct reading *r)
{
	return (const char *)r->event.data.scalar.value;
}

static ag_err
take_text(struct reading *r, const char *what, char **out)
{
	ag_err err = expect(r, YAML_SCALAR_EVENT, what);

	if (err != AG_OK)
		return err;
	if (*out != NULL)
		return wrong(r, "given twice");
	if (r->event.data.scalar.length > VALUE_BYTES_MAX ||
	    strlen(text_of(r)) != r->event.data.scalar.length)
		return wrong(r, "%s", what);
	*out = strdup(text_of(r));
	return *out != NULL ? AG_OK : AG_NO_MEMORY;
}

static ag_err
take_program(struct reading *r)
{
	ag_err err = take_text(r, "program: an absolute path", &r->out->program);

	if (err != AG_OK)
		return err;
	if (r->out->program[0] != '/')
		return wrong(r, "program: an absolute path");
	if (access(r->out->program, X_OK) != 0)
		return wrong(r, "program: %s: %s", r->out->program,
		    strerror(errno));
	return AG_OK;
}

static ag_err
take_role(struct reading *r)
{
	char *word = NULL;
	const char *role = NULL;
	ag_err err;

	if (r->out->role[0] != '\0')
		return wrong(r, "role: given twice");
	err = take_text(r, "role: subscriber or actor", &word);
	if (err == AG_OK && (role = ag_guest_role(word)) == NULL)
		err = wrong(r, "role: subscriber or actor");
	if (role != NULL)
		ag_sup_copy(r->out->role, sizeof(r->out->role), role);
	free(word);
	return err;
}

static ag_err
take_args(struct reading *r)
{
	ag_err err;

	if (r->out->args != NULL)
		return wrong(r, "args: given twice");
	r->out->args = calloc(ARGS_MAX + 1, sizeof(*r->out->args));
	if (r->out->args == NULL)
		return AG_NO_MEMORY;
	err = expect(r, YAML_SEQUENCE_START_EVENT, "args: a list of words");
	while (err == AG_OK) {
		if ((err = next(r)) != AG_OK ||
		    r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (r->event.type != YAML_SCALAR_EVENT)
			return wrong(r, "args: a list of words");
		if (r->out->arg_count == ARGS_MAX)
			return wrong(r, "args: at most %d", ARGS_MAX);
		r->out->args[r->out->arg_count] = strdup(text_of(r));
		if (r->out->args[r->out->arg_count++] == NULL)
			err = AG_NO_MEMORY;
	}
	return err;
}

static const struct {
	const char *key;
	ag_err (*take)(struct reading *r);
} keys[] = {
	{ "program", take_program },
	{ "role", take_role },
	{ "args", take_args },
};

static ag_err
take_key(struct reading *r)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].key, text_of(r)) == 0)
			return keys[i].take(r);
	return wrong(r, "%.64s: unknown key (program, role, args)", text_of(r));
}

static ag_err
take_mapping(struct reading *r)
{
	ag_err err;

	if ((err = expect(r, YAML_STREAM_START_EVENT, "YAML")) != AG_OK ||
	    (err = expect(r, YAML_DOCUMENT_START_EVENT,
	        "program: an absolute path is wanted")) != AG_OK ||
	    (err = expect(r, YAML_MAPPING_START_EVENT,
	        "keys are wanted: program, role, args")) != AG_OK)
		return err;
	while ((err = next(r)) == AG_OK &&
	    r->event.type != YAML_MAPPING_END_EVENT) {
		if (r->event.type != YAML_SCALAR_EVENT)
			return wrong(r, "a key is wanted: program, role, args");
		if ((err = take_key(r)) != AG_OK)
			return err;
	}
	if (err != AG_OK)
		return err;
	if (r->out->program == NULL)
		return wrong(r, "program: is missing");
	if (r->out->role[0] == '\0')
		return wrong(r, "role: is missing (subscriber or actor)");
	return AG_OK;
}

/* What we start with the fleet's rights must be nobody else's to write. */
static ag_err
check_owner(struct reading *r, FILE *f)
{
	struct stat st;

	if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) ||
	    (st.st_uid != geteuid() && st.st_uid != 0) ||
	    (st.st_mode & 022) != 0) {
		snprintf(r->message, r->message_size, "%s: must be a file of "
		    "yours that nobody else may write", r->file);
		return AG_USAGE;
	}
	return AG_OK;
}

ag_err
ag_local_read(const char *file, const char *name, struct local_actor *out,
    char *message, size_t message_size)
{
	struct reading r = { .file = file, .out = out, .message = message,
		.message_size = message_size };
	FILE *f = fopen(file, "re");
	ag_err err;

	memset(out, 0, sizeof(*out));
	ag_sup_copy(out->name, sizeof(out->name), name);
	if (f == NULL) {
		snprintf(message, message_size, "%s: %s", file, strerror(errno));
		return AG_USAGE;
	}
	if ((err = check_owner(&r, f)) == AG_OK) {
		if (!yaml_parser_initialize(&r.parser)) {
			fclose(f);
			return AG_NO_MEMORY;
		}
		yaml_parser_set_input_file(&r.parser, f);
		err = take_mapping(&r);
		if (r.have_event)
			yaml_event_delete(&r.event);
		yaml_parser_delete(&r.parser);
	}
	fclose(f);
	if (err != AG_OK)
		ag_local_free(out);
	return err;
}

void
ag_local_free(struct local_actor *actor)
{
	for (unsigned i = 0; i < actor->arg_count; i++)
		free(actor->args[i]);
	free(actor->args);
	free(actor->program);
	memset(actor, 0, sizeof(*actor));
}
