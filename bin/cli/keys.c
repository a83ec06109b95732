/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about keys and with keys.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY { "KEY", "KEY", CLI_STR, NULL, true, "a key's id or alias", NULL }
#define REASON { "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }
#define IN(member) \
	{ "--in", "FILE", CLI_INPUT, member, false, "the data; stdin unless given", NULL }
#define OUT \
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the bytes go; stdout unless given", NULL }, \
	{ "--base64", NULL, CLI_LOCAL, NULL, false, "write base64", NULL }
#define ALGORITHM { "--algorithm", "A", CLI_STR, "algorithm", false, "another than the key's first", NULL }
#define CONTEXT { "--context", "K=V", CLI_PAIRS, "context", false, "what the ciphertext is bound to", NULL }
#define AAD { "--aad", "FILE", CLI_BYTES, "aad_b64", false, "additional data, instead of a context", NULL }
#define DIGEST { "--digest", NULL, CLI_FLAG, "message_type", false, "the data is already a digest", "digest" }
#define FORMAT { "--format", "der|p1363", CLI_STR, "signature_format", false, "of an ECDSA signature", NULL }

#define RAW { "--raw", NULL, CLI_FLAG, "format", false, "the bare wrapped key, as others write it", "raw" }
#define LENGTH { "--length", "N", CLI_INT, "mac_length", false, "bytes of a shorter MAC, 16 or more", NULL }

#define KEY_COLUMNS \
	"ID:id,ALIAS:alias,SPEC:key_spec,STATE:state,VERSION:version,CREATED:created_at"
#define KEY_LINE "ID:id,ALIAS:alias,SPEC:key_spec,STATE:state,VERSION:version"

static const struct cli_option only_key[] = { KEY, { 0 } };
static const struct cli_option key_reason[] = { KEY, REASON, { 0 } };

static const struct cli_option create_options[] = {
	{ "ALIAS", "ALIAS", CLI_STR, "alias", false, "a name for the key", NULL },
	{ "--spec", "SPEC", CLI_STR, "key_spec", true, "EC_P256 ED25519 AES_256 RSA_2048 …", NULL },
	{ "--usage", "OP", CLI_LIST, "usage", false, "what it is for", NULL },
	{ "--label", "K=V", CLI_PAIRS, "labels", false, "a label", NULL },
	{ "--rotate-every", "D", CLI_DURATION, "rotation.every_s", false, "a new version so often", NULL },
	{ "--rotate-after", "N", CLI_INT, "rotation.after_operations", false, "a new version after N operations", NULL },
	{ "--rot", "NAME", CLI_STR, "rot", false, "the root of trust that keeps it", NULL },
	{ "--activate", NULL, CLI_FLAG, "activate", false, "ready for use at once", NULL },
	{ "--honey", NULL, CLI_FLAG, "honey", false, "a trap: whoever uses it is a thief", NULL },
	{ 0 },
};
static const struct cli_option import_options[] = {
	{ "ALIAS", "ALIAS", CLI_STR, "alias", false, "a name for the key", NULL },
	{ "--spec", "SPEC", CLI_STR, "key_spec", true, "what kind of key it is", NULL },
	{ "--in", "FILE", CLI_LOCAL, NULL, false, "raw bytes, or a private key as PKCS#8; it is wrapped before it is sent", NULL },
	{ "--public-key", "FILE", CLI_TEXT_FILE, "public_key_pem", false, "or a public key in PEM", NULL },
	{ "--usage", "OP", CLI_LIST, "usage", false, "what it is for", NULL },
	{ "--label", "K=V", CLI_PAIRS, "labels", false, "a label", NULL },
	{ 0 },
};
static const struct cli_option list_options[] = {
	{ "--state", "S", CLI_STR, "state", false, "PreActive Active Deactivated …", NULL },
	{ "--spec", "S", CLI_STR, "key_spec", false, "of this kind", NULL },
	{ "--usage", "OP", CLI_STR, "usage", false, "that may do this", NULL },
	{ "--label", "K=V", CLI_PAIRS, "label", false, "with this label", NULL },
	{ "--alias-prefix", "TEXT", CLI_STR, "alias_prefix", false, "whose alias begins so", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option label_options[] = {
	KEY,
	{ "LABELS", "K=V|K-", CLI_WORDS, NULL, true, "K=V sets, K- removes", NULL },
	{ 0 },
};
static const struct cli_option compromise_options[] = {
	KEY, REASON,
	{ "--version", "N", CLI_INT, "version", false, "only this version", NULL },
	{ 0 },
};
static const struct cli_option destroy_options[] = {
	KEY, REASON,
	{ "--window", "D", CLI_DURATION, "pending_window_s", false, "until then it can be cancelled; 7d", NULL },
	{ "--version", "N", CLI_INT, "version", false, "only this version", NULL },
	{ "--yes", NULL, CLI_LOCAL, NULL, false, "do not ask", NULL },
	{ 0 },
};
static const struct cli_option public_options[] = {
	KEY,
	{ "--jwk", NULL, CLI_LOCAL, NULL, false, "as a JWK", NULL },
	{ "--jwks", NULL, CLI_LOCAL, NULL, false, "all versions, as a JWK set", NULL },
	{ "--version", "N", CLI_INT, "version", false, "of this version", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where it goes; stdout unless given", NULL },
	{ 0 },
};
static const struct cli_option sign_options[] = {
	KEY, IN("message_b64"), OUT, DIGEST, ALGORITHM, FORMAT, { 0 },
};
static const struct cli_option verify_options[] = {
	KEY, IN("message_b64"),
	{ "--signature", "FILE", CLI_BYTES, "signature_b64", true, "the signature", NULL },
	DIGEST, ALGORITHM, FORMAT,
	{ "--version", "N", CLI_INT, "key_version", false, "by this version only", NULL },
	{ 0 },
};
static const struct cli_option encrypt_options[] = {
	KEY, IN("plaintext_b64"), OUT, CONTEXT, AAD, ALGORITHM, { 0 },
};
static const struct cli_option decrypt_options[] = {
	KEY, IN("ciphertext_b64"), OUT, CONTEXT, AAD, { 0 },
};
static const struct cli_option wrap_options[] = {
	KEY, IN("key_b64"), OUT, ALGORITHM, RAW, { 0 },
};
static const struct cli_option unwrap_options[] = {
	KEY, IN("wrapped_key_b64"), OUT, ALGORITHM, RAW,
	{ "--version", "N", CLI_INT, "key_version", false, "of a bare one: under which version", NULL },
	{ 0 },
};
static const struct cli_option mac_options[] = {
	KEY, IN("message_b64"), OUT, LENGTH, { 0 },
};
static const struct cli_option mac_verify_options[] = {
	KEY, IN("message_b64"),
	{ "--mac", "FILE", CLI_BYTES, "mac_b64", true, "the MAC", NULL },
	LENGTH,
	{ "--version", "N", CLI_INT, "key_version", false, "by this version only", NULL },
	{ 0 },
};
static const struct cli_option random_options[] = {
	{ "N", "N", CLI_INT, "length", true, "how many bytes, 1 to 4096", NULL },
	OUT,
	{ 0 },
};
static const struct cli_option data_key_options[] = {
	KEY,
	{ "--spec", "SPEC", CLI_STR, "data_key_spec", false, "AES_256 unless given", NULL },
	CONTEXT, AAD,
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the plaintext key goes (0600)", NULL },
	{ "--wrapped-out", "FILE", CLI_LOCAL, NULL, true, "where the encrypted key goes", NULL },
	{ "--without-plaintext", NULL, CLI_FLAG, "without_plaintext", false, "only the encrypted key", NULL },
	{ 0 },
};

/* ------------------------------------------------- verbs that do more */

/* K=V sets a label, K- removes it (null in a merge patch). */
static enum cli_exit
key_label(struct cli *cli)
{
	const struct cli_value *words = cli_get_all(cli, "LABELS");
	json_t *labels = json_object(), *body, *answer = NULL;
	char path[CLI_URL_MAX], key[256];
	enum cli_exit status = CLI_OK;
	size_t len;

	for (unsigned i = 0; i < words->count && status == CLI_OK; i++) {
		len = strcspn(words->at[i], "=");
		(void)snprintf(key, sizeof(key), "%.*s", (int)len, words->at[i]);
		if (words->at[i][len] == '=')
			(void)json_object_set_new(labels, key,
			    json_string(words->at[i] + len + 1));
		else if (len > 1 && key[strlen(key) - 1] == '-') {
			key[strlen(key) - 1] = '\0';
			(void)json_object_set_new(labels, key, json_null());
		} else
			status = cli_fail(CLI_USAGE, "%s: say K=V or K-", words->at[i]);
	}
	body = json_pack("{s:o}", "labels", labels);
	if (status == CLI_OK)
		status = cli_path(cli, cli->verb->path, path, sizeof(path));
	if (status == CLI_OK)
		status = cli_resolve(cli, true);
	if (status == CLI_OK)
		status = cli_http(cli, "PATCH", path, body, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_line("ID:id,ALIAS:alias,LABELS:labels", answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

/* A person at a terminal is asked; a script said what it wants. */
static bool
confirmed(struct cli *cli)
{
	char answer[128];

	if (cli_get(cli, "--yes") != NULL || isatty(STDIN_FILENO) != 1)
		return true;
	fprintf(stderr, "Destroy %s? Type its name to go on: ", cli_get(cli, "KEY"));
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		return false;
	answer[strcspn(answer, "\n")] = '\0';
	return strcmp(answer, cli_get(cli, "KEY")) == 0;
}

static enum cli_exit
key_destroy(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status;

	if (!confirmed(cli))
		return cli_fail(CLI_USAGE, "not destroyed");
	status = cli_request(cli, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_line("ID:id,ALIAS:alias,STATE:state,AT:destroy_at", answer);
	json_decref(answer);
	return status;
}

static enum cli_exit
put_public(struct cli *cli, const json_t *answer, bool pem)
{
	const char *name = cli_get(cli, "--out");
	char *text;
	FILE *out;
	enum cli_exit status = cli_create(name, false, &out);

	if (status != CLI_OK)
		return status;
	if (pem && !cli->json)
		fputs(cli_member_text(answer, "public_key_pem"), out);
	else {
		text = json_dumps(answer, JSON_COMPACT);
		fprintf(out, "%s\n", text == NULL ? "" : text);
		free(text);
	}
	return cli_finish(out, name);
}

static enum cli_exit
key_public(struct cli *cli)
{
	bool jwk = cli_get(cli, "--jwk") != NULL, jwks = cli_get(cli, "--jwks") != NULL;
	const char *template = jwks ? "/v1/keys/{KEY}/jwks.json"
	    : jwk                   ? "/v1/keys/{KEY}/public-jwk"
	                            : "/v1/keys/{KEY}/public-key";
	char path[CLI_URL_MAX];
	json_t *answer = NULL;
	enum cli_exit status;

	if ((status = cli_resolve(cli, true)) == CLI_OK)
		status = cli_path_query(cli, template, path, sizeof(path));
	if (status == CLI_OK)
		status = cli_http(cli, "GET", path, NULL, &answer);
	if (status == CLI_OK)
		status = put_public(cli, answer, !jwk && !jwks);
	json_decref(answer);
	return status;
}

/* One base64 member of the answer to a file that was opened before. */
static enum cli_exit
put_bytes(const json_t *answer, const char *member, FILE *out, const char *name)
{
	const char *text = cli_member_text(answer, member);
	size_t len = strlen(text), size = len + 4;
	uint8_t *bytes = malloc(size);

	if (bytes == NULL || !ag_base64_parse(text, len, bytes, size, &len)) {
		free(bytes);
		return cli_fail(CLI_FAULT, "the answer is not base64");
	}
	(void)fwrite(bytes, 1, len, out);
	ag_wipe(bytes, size);
	free(bytes);
	return cli_finish(out, name);
}

static enum cli_exit
data_key_ask(struct cli *cli, json_t **answer)
{
	json_t *body = NULL;
	char path[CLI_URL_MAX];
	enum cli_exit status;

	if ((status = cli_resolve(cli, true)) == CLI_OK &&
	    (status = cli_path(cli, cli->verb->path, path, sizeof(path))) == CLI_OK)
		status = cli_body(cli, &body);
	if (body == NULL)
		body = json_object();
	if (json_object_get(body, "data_key_spec") == NULL)
		(void)json_object_set_new(body, "data_key_spec", json_string("AES_256"));
	if (status == CLI_OK)
		status = cli_http(cli, "POST", path, body, answer);
	json_decref(body);
	return status;
}

static enum cli_exit
key_data_key(struct cli *cli)
{
	const char *plain = cli_get(cli, "--out");
	const char *wrapped = cli_get(cli, "--wrapped-out");
	bool without = cli_get(cli, "--without-plaintext") != NULL;
	FILE *plain_out = NULL, *wrapped_out;
	json_t *answer = NULL;
	enum cli_exit status;

	if (!without && plain == NULL)
		return cli_fail(CLI_USAGE, "--out is missing (or --without-plaintext)");
	if ((status = cli_create(wrapped, false, &wrapped_out)) != CLI_OK ||
	    (!without && (status = cli_create(plain, true, &plain_out)) != CLI_OK))
		return status;
	status = data_key_ask(cli, &answer);
	if (status == CLI_OK)
		status = put_bytes(answer, "ciphertext_b64", wrapped_out, wrapped);
	if (status == CLI_OK && !without)
		status = put_bytes(answer, "plaintext_b64", plain_out, plain);
	json_decref(answer);
	return status;
}

#define POST_KEY(verb, options, help) \
	{ "key", verb, options, "POST", "/v1/keys/{KEY}/" verb, CLI_LINE, \
	    KEY_LINE, NULL, help, NULL, NULL }

const struct cli_verb cli_verbs_keys[] = {
	{ "key", "create", create_options, "POST", "/v1/keys", CLI_LINE, KEY_LINE,
	    NULL, "a new key", NULL, NULL },
	{ "key", "import", import_options, "POST", "/v1/keys/import", CLI_LINE,
	    KEY_LINE, cli_key_import, "a key made elsewhere", NULL, NULL },
	{ "key", "list", list_options, "GET", "/v1/keys", CLI_TABLE, KEY_COLUMNS,
	    NULL, "the keys you may read", NULL, NULL },
	{ "key", "show", only_key, "GET", "/v1/keys/{KEY}", CLI_OBJECT, NULL, NULL,
	    "all about one key but its material", NULL, NULL },
	POST_KEY("activate", only_key, "ready for use"),
	POST_KEY("rotate", only_key, "a new version; the old one verifies and decrypts"),
	POST_KEY("deactivate", key_reason, "verify and decrypt only, for ever"),
	POST_KEY("compromise", compromise_options, "somebody else may have it: no use at all"),
	POST_KEY("freeze", key_reason, "stops every use; reversible"),
	POST_KEY("unfreeze", key_reason, "ends a freeze"),
	{ "key", "label", label_options, "PATCH", "/v1/keys/{KEY}", CLI_SILENT,
	    NULL, key_label, "set and remove labels", NULL, NULL },
	{ "key", "destroy", destroy_options, "POST", "/v1/keys/{KEY}/destroy",
	    CLI_SILENT, NULL, key_destroy, "plan its end", NULL, NULL },
	POST_KEY("cancel-destroy", only_key, "before the window ends"),
	{ "key", "public", public_options, NULL, NULL, CLI_SILENT, NULL, key_public,
	    "the public key, in PEM or as a JWK", NULL, NULL },
	{ "key", "sign", sign_options, "POST", "/v1/keys/{KEY}/sign", CLI_DATA,
	    "signature_b64", NULL, "sign data", NULL, NULL },
	{ "key", "verify", verify_options, "POST", "/v1/keys/{KEY}/verify",
	    CLI_VALID, NULL, NULL, "check a signature: exit 0 valid, 1 not", NULL, NULL },
	{ "key", "encrypt", encrypt_options, "POST", "/v1/keys/{KEY}/encrypt",
	    CLI_DATA, "ciphertext_b64", NULL, "encrypt data", NULL, NULL },
	{ "key", "decrypt", decrypt_options, "POST", "/v1/keys/{KEY}/decrypt",
	    CLI_DATA, "plaintext_b64", NULL, "decrypt data", NULL, NULL },
	{ "key", "wrap", wrap_options, "POST", "/v1/keys/{KEY}/wrap", CLI_DATA,
	    "wrapped_key_b64", NULL, "wrap a key of yours", NULL, NULL },
	{ "key", "unwrap", unwrap_options, "POST", "/v1/keys/{KEY}/unwrap",
	    CLI_DATA, "key_b64", NULL, "and back", NULL, NULL },
	{ "key", "mac", mac_options, "POST", "/v1/keys/{KEY}/mac", CLI_DATA,
	    "mac_b64", NULL, "make a message authentication code", NULL, NULL },
	{ "key", "mac-verify", mac_verify_options, "POST",
	    "/v1/keys/{KEY}/mac-verify", CLI_VALID, NULL, NULL,
	    "check one: exit 0 valid, 1 not", NULL, NULL },
	{ "key", "data-key", data_key_options, "POST",
	    "/v1/keys/{KEY}/generate-data-key", CLI_SILENT, NULL, key_data_key,
	    "a fresh key, and the same encrypted", NULL, NULL },
	{ "random", "", random_options, "POST", "/v1/random", CLI_DATA,
	    "random_b64", NULL, "random bytes", NULL, NULL },
	{ 0 },
};
