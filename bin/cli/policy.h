/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs about policies share: documents as files. */
#ifndef AEGIS_CLI_POLICY_H
#define AEGIS_CLI_POLICY_H

#include "cli.h"

#include <rules.h>
#include <signed.h>

enum {
	FILES_MAX = AG_RULES_DOCS_MAX,
	PATH_SIZE = CLI_PATH_MAX + 80,
};
#define POLICY_ENDING ".cedar"
#define SIGNATURE_ENDING ".sig"

struct doc {
	char name[AG_RULES_NAME_MAX + 1];
	char path[PATH_SIZE];
	char *text; /* NULL: there is no such file, or it was not wanted */
	size_t len;
	char *signature; /* of <path>.sig; NULL: there is none */
};
struct docs {
	struct doc at[FILES_MAX];
	size_t count;
};

/* All documents that PATHS names, by name; docs_free. */
enum cli_exit docs_read(struct cli *cli, struct docs **out);
void docs_free(struct docs *docs);
/* The path of a document's signature. */
enum cli_exit signature_path(const struct doc *doc, char out[PATH_SIZE]);
/* As docs_read, of documents that are to be gone: without their text. */
enum cli_exit docs_named(struct cli *cli, struct docs **out);
/* Says what is wrong with them; loud: also that nothing is. */
enum cli_exit check_docs(struct cli *cli, const struct docs *docs, bool loud);

/* policy_check.c: without a server */
enum cli_exit policy_validate(struct cli *cli);
enum cli_exit policy_lint(struct cli *cli);
enum cli_exit policy_format(struct cli *cli);
enum cli_exit policy_test(struct cli *cli);
/* policy_sample.c: the same */
enum cli_exit policy_sample(struct cli *cli);
/* policy_sign.c: without a server, too */
enum cli_exit policy_sign(struct cli *cli);
enum cli_exit policy_verify(struct cli *cli);
/* policy_change.c */
enum cli_exit policy_simulate(struct cli *cli);
enum cli_exit policy_import(struct cli *cli);
/* policy_sync.c: files and the server */
enum cli_exit policy_pull(struct cli *cli);
enum cli_exit policy_diff(struct cli *cli);
enum cli_exit policy_push(struct cli *cli);

#endif
