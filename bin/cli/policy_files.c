/* SPDX-License-Identifier: Apache-2.0 */
/* Policy documents as files: <name>.cedar, or folders of them. */
#include "policy.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING POLICY_ENDING

void
docs_free(struct docs *docs)
{
	for (size_t i = 0; i < docs->count; i++) {
		free(docs->at[i].text);
		free(docs->at[i].signature);
	}
	free(docs);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct doc *)a)->name,
	    ((const struct doc *)b)->name);
}

enum cli_exit
signature_path(const struct doc *doc, char out[PATH_SIZE])
{
	return snprintf(out, PATH_SIZE, "%s" SIGNATURE_ENDING, doc->path) <
	    PATH_SIZE ? CLI_OK : cli_fail(CLI_USAGE, "%s: too long", doc->path);
}

static enum cli_exit
signature_read(struct doc *doc)
{
	char path[PATH_SIZE];
	enum cli_exit status = signature_path(doc, path);
	size_t len;

	if (status != CLI_OK || access(path, F_OK) != 0)
		return status;
	status = cli_read(path, AG_SIGNED_TEXT_SIZE, &doc->signature, &len);
	if (status == CLI_OK)
		doc->signature[strcspn(doc->signature, "\r\n")] = '\0';
	return status;
}

/* read: its text, too. */
static enum cli_exit
doc_add(struct docs *docs, const char *path, bool read)
{
	const char *base = strrchr(path, '/') == NULL ? path :
	    strrchr(path, '/') + 1;
	size_t len = strlen(base), end = sizeof(ENDING) - 1;
	struct doc *doc = &docs->at[docs->count];
	enum cli_exit status;

	if (len <= end || strcmp(base + len - end, ENDING) != 0 ||
	    len - end >= sizeof(doc->name))
		return cli_fail(CLI_USAGE, "%s: a document is a file "
		    "<name>.cedar", path);
	if (docs->count == FILES_MAX)
		return cli_fail(CLI_USAGE, "at most %d documents", FILES_MAX);
	memset(doc, 0, sizeof(*doc));
	memcpy(doc->name, base, len - end);
	if (!ag_name_valid(doc->name))
		return cli_fail(CLI_USAGE, "%s: a document's name is "
		    "[a-z0-9][a-z0-9._-]{0,62}", path);
	(void)snprintf(doc->path, sizeof(doc->path), "%s", path);
	docs->count++;
	status = signature_read(doc);
	return status != CLI_OK || !read ? status :
	    cli_read(path, AG_RULES_TEXT_MAX, &doc->text, &doc->len);
}

static enum cli_exit
docs_of_folder(struct docs *docs, const char *path)
{
	enum cli_exit status = CLI_OK;
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (dir == NULL)
		return cli_fail(CLI_USAGE, "%s: %s", path, strerror(errno));
	while (status == CLI_OK && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name), end = sizeof(ENDING) - 1;
		char file[PATH_SIZE];

		if (len <= end || strcmp(entry->d_name + len - end, ENDING) != 0)
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(file))
			status = cli_fail(CLI_USAGE, "%s: too long", path);
		else
			status = doc_add(docs, file, true);
	}
	(void)closedir(dir);
	return status;
}

enum cli_exit
docs_read(struct cli *cli, struct docs **out)
{
	const struct cli_value *paths = cli_get_all(cli, "PATHS");
	struct docs *docs = calloc(1, sizeof(*docs));
	enum cli_exit status = docs == NULL ? CLI_FAULT : CLI_OK;

	for (unsigned i = 0; i < paths->count && status == CLI_OK; i++) {
		struct stat st;

		if (stat(paths->at[i], &st) != 0)
			status = cli_fail(CLI_USAGE, "%s: %s",
			    paths->at[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			status = docs_of_folder(docs, paths->at[i]);
		else
			status = doc_add(docs, paths->at[i], true);
	}
	if (status == CLI_OK && docs->count == 0)
		status = cli_fail(CLI_USAGE, "there is no <name>.cedar file");
	if (status == CLI_OK)
		qsort(docs->at, docs->count, sizeof(docs->at[0]), by_name);
	for (size_t i = 1; status == CLI_OK && i < docs->count; i++)
		if (strcmp(docs->at[i].name, docs->at[i - 1].name) == 0)
			status = cli_fail(CLI_USAGE, "%s and %s are one document",
			    docs->at[i - 1].path, docs->at[i].path);
	*out = docs;
	if (status != CLI_OK && docs != NULL) {
		docs_free(docs);
		*out = NULL;
	}
	return status;
}

enum cli_exit
docs_named(struct cli *cli, struct docs **out)
{
	const struct cli_value *paths = cli_get_all(cli, "PATHS");
	struct docs *docs = calloc(1, sizeof(*docs));
	enum cli_exit status = docs == NULL ? CLI_FAULT : CLI_OK;

	for (unsigned i = 0; i < paths->count && status == CLI_OK; i++)
		status = doc_add(docs, paths->at[i], false);
	*out = docs;
	if (status != CLI_OK && docs != NULL) {
		docs_free(docs);
		*out = NULL;
	}
	return status;
}
