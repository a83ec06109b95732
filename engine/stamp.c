/* SPDX-License-Identifier: Apache-2.0 */
#include <aegis/stamp.h>

#include <stdio.h>
#include <string.h>

enum { KIND = 3, NUMBER = 22 }; /* characters: "agt", 16 bytes in base64url */

static const char *const words[] = { "direct", "approval" };

bool
ag_stamp_text(const struct ag_stamp *stamp, char out[AG_STAMP_SIZE])
{
	uint8_t number[AG_UUID_BYTES];
	char who[NUMBER + 1], request[NUMBER + 1];

	if (!ag_id_valid(stamp->principal, NULL) ||
	    strcspn(stamp->principal, "_") != KIND ||
	    !ag_hex_parse(stamp->principal + KIND + 1, number, sizeof(number)))
		return false;
	ag_base64url(number, sizeof(number), who);
	ag_base64url(stamp->request_id, AG_UUID_BYTES, request);
	(void)snprintf(out, AG_STAMP_SIZE, "sys:%.*s_%s:%s:%s", KIND,
	    stamp->principal, who, words[stamp->approved], request);
	return true;
}

static bool
number_of(const char *text, uint8_t out[AG_UUID_BYTES])
{
	size_t len;

	return ag_base64url_parse(text, NUMBER, out, AG_UUID_BYTES, &len) &&
	    len == AG_UUID_BYTES;
}

bool
ag_stamp_parse(const char *text, struct ag_stamp *out)
{
	char again[AG_STAMP_SIZE];
	uint8_t number[AG_UUID_BYTES];
	const char *who = text + 4, *word = who + KIND + 1 + NUMBER + 1;
	size_t len = strlen(text);

	memset(out, 0, sizeof(*out));
	if (len >= AG_STAMP_SIZE || len < (size_t)(word - text) + NUMBER + 1 ||
	    !number_of(who + KIND + 1, number) ||
	    !number_of(text + len - NUMBER, out->request_id))
		return false;
	(void)snprintf(out->principal, sizeof(out->principal), "%.*s_", KIND,
	    who);
	ag_hex(number, sizeof(number), out->principal + strlen(out->principal));
	out->approved = strncmp(word, words[true], strlen(words[true])) == 0;
	/* One stamp has one form. */
	return ag_stamp_text(out, again) && strcmp(again, text) == 0;
}
