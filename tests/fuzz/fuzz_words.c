/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small words of the public names: times, durations, ids, base64,
 * networks. What is taken is written again as it came.
 */
#include "iam.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 512 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
base64(const char *text, size_t len)
{
	/* Memory of exactly what is said to be there. */
	uint8_t *bytes = malloc(BYTES_MAX);
	char again[2 * BYTES_MAX];
	size_t n;

	if (ag_base64_parse(text, len, bytes, BYTES_MAX, &n)) {
		ag_base64(bytes, n, again);
		must(strlen(again) == len && memcmp(again, text, len) == 0);
	}
	if (ag_base64url_parse(text, len, bytes, BYTES_MAX, &n)) {
		ag_base64url(bytes, n, again);
		must(strlen(again) == len && memcmp(again, text, len) == 0);
	}
	free(bytes);
}

static void
words(const char *text)
{
	char again[AG_TIME_TEXT];
	struct iam_cidr cidr;
	int64_t ms;

	if (ag_time_parse(text, &ms)) {
		int64_t back;

		ag_time_text(ms, again);
		must(ag_time_parse(again, &back) && back == ms);
	}
	if (ag_duration_parse(text, &ms))
		must(ms >= 0);
	if (ag_id_valid(text, "key"))
		must(strlen(text) == 4 + 32 && !ag_name_valid(text));
	if (ag_name_valid(text))
		must(strlen(text) <= AG_NAME_MAX && strpbrk(text, "/:%\n ") == NULL);
	if (iam_cidr_parse(text, &cidr)) {
		must(cidr.bits <= (cidr.family == 4 ? 32 : 128));
		(void)iam_cidr_has(&cidr, "192.0.2.1");
		(void)iam_cidr_has(&cidr, text);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size > 1024)
		return 0;
	text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	words(text);
	base64(text, size);
	free(text);
	return 0;
}
