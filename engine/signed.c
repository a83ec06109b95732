/* SPDX-License-Identifier: Apache-2.0 */
#include <aegis/signed.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before what a button says, so that its MAC is good for nothing else. */
static const char click_head[] = "aegis-click:";

bool
ag_signed_hex(struct ag_secret *key, const char *head, const void *body,
    size_t len, char hex[AG_SIGNED_HEX])
{
	static const char digits[] = "0123456789abcdef";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    (char *)(uintptr_t)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	uint8_t out[AG_MAC_BYTES];
	size_t n = 0;
	bool ok = ctx != NULL && EVP_MAC_init(ctx, ag_secret_bytes(key),
	    ag_secret_len(key), params) == 1 &&
	    EVP_MAC_update(ctx, (const uint8_t *)head, strlen(head)) == 1 &&
	    EVP_MAC_update(ctx, body, len) == 1 &&
	    EVP_MAC_final(ctx, out, &n, sizeof(out)) == 1 && n == sizeof(out);

	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	for (size_t i = 0; ok && i < sizeof(out); i++) {
		hex[2 * i] = digits[out[i] >> 4];
		hex[2 * i + 1] = digits[out[i] & 15];
	}
	hex[ok ? 2 * sizeof(out) : 0] = '\0';
	return ok;
}

bool
ag_click_write(struct ag_secret *key, const struct ag_click *click,
    char out[AG_CLICK_TEXT])
{
	char hex[AG_SIGNED_HEX];
	int n = snprintf(out, AG_CLICK_TEXT, "v1.%s.%s.%lld", click->approval,
	    click->yes ? "approve" : "deny", (long long)(click->until / 1000));

	if (n < 0 || n + AG_SIGNED_HEX >= AG_CLICK_TEXT ||
	    !ag_signed_hex(key, click_head, out, (size_t)n, hex))
		return false;
	out[n] = '.';
	memcpy(out + n + 1, hex, sizeof(hex));
	return true;
}

/* The MAC is over what is read, so the only text that passes is the one that
 * ag_click_write made of the same facts. */
bool
ag_click_read(struct ag_secret *key, const char *text, struct ag_click *out)
{
	char made[AG_CLICK_TEXT] = "", word[8], id[AG_ID_SIZE] = "";
	long long until;

	memset(out, 0, sizeof(*out));
	if (strnlen(text, AG_CLICK_TEXT) == AG_CLICK_TEXT ||
	    sscanf(text, "v1.%36[a-z0-9_].%7[a-z].%12lld.", id, word,
	    &until) != 3 || !ag_id_valid(id, "apr") || until < 0)
		return false;
	memcpy(out->approval, id, sizeof(id));
	out->yes = strcmp(word, "approve") == 0;
	out->until = (int64_t)until * 1000;
	return (out->yes || strcmp(word, "deny") == 0) &&
	    ag_click_write(key, out, made) && strlen(made) == strlen(text) &&
	    ag_secret_equal(made, text, strlen(made));
}
