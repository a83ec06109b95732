/* SPDX-License-Identifier: Apache-2.0 */
/* Policies in YAML as Cedar, on the worker; nothing is kept. */
#include "exec.h"
#include "handlers.h"
#include "iam.h"

#include <import.h>

#include <stdlib.h>
#include <string.h>

struct job {
	char *text;
	struct ag_import result;
};

static void
job_free(struct job *job)
{
	free(job->result.text);
	free(job->text);
	free(job);
}

static ag_err
work(void *arg)
{
	struct job *job = arg;

	return ag_import_yaml(job->text, strlen(job->text), &job->result) ?
	    AG_OK : AG_NO_MEMORY;
}

static ag_err
say(struct ag_ctx *ctx, const struct ag_import *r)
{
	Ag__PolicyImportReply reply = AG__POLICY_IMPORT_REPLY__INIT;

	if (r->text == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", "/text",
		    "%u:%u: %s", r->line, r->column, r->problem);
	if ((reply.notes = iam_array(ctx, r->note_count)) == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < r->note_count; i++)
		reply.notes[reply.n_notes++] = (char *)r->notes[i];
	reply.text = r->text;
	reply.policies = (uint32_t)r->policies;
	return ag_reply(ctx, AG_MSG_POLICY_IMPORT, &reply);
}

static ag_err
on_imported(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct job *job = memo;
	ag_err err = status != AG_OK ? status : say(ctx, &job->result);

	job_free(job);
	return err;
}

ag_err
iam_on_policy_import(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicyImportAsk *ask = msg;
	struct job *job = calloc(1, sizeof(*job));
	ag_err err;

	(void)state;
	if (job == NULL)
		return AG_NO_MEMORY;
	if ((job->text = strdup(ask->text)) == NULL) {
		job_free(job);
		return AG_NO_MEMORY;
	}
	if ((err = ag_work(ctx, work, job, on_imported)) != AG_PENDING)
		job_free(job);
	return err;
}
