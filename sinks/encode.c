/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum encode_format
encode_format_of(struct feed *feed)
{
	const char *word = feed_option(feed, "format");

	return strcmp(word, "ocsf") == 0 ? ENCODE_OCSF :
	    strcmp(word, "protobuf") == 0 ? ENCODE_PROTOBUF : ENCODE_JSON;
}

static ag_err
encode_protobuf(const Ag__Event *event, struct encoded *out)
{
	Ag__Event shown;

	ag_event_shown(event, &shown);
	out->len = ag__event__get_packed_size(&shown);
	if ((out->bytes = malloc(out->len + 1)) == NULL)
		return AG_NO_MEMORY;
	ag__event__pack(&shown, (uint8_t *)out->bytes);
	out->bytes[out->len] = '\0';
	return AG_OK;
}

ag_err
encode_item(enum encode_format format, const struct feed_item *item,
    struct encoded *out)
{
	json_t *ocsf = NULL;
	ag_err err = AG_OK;

	memset(out, 0, sizeof(*out));
	if ((out->event = feed_event(item)) == NULL)
		return AG_NO_MEMORY;
	switch (format) {
	case ENCODE_PROTOBUF:
		return encode_protobuf(out->event, out);
	case ENCODE_OCSF:
		ocsf = encode_ocsf(out->event);
		out->bytes = ocsf == NULL ? NULL :
		    json_dumps(ocsf, JSON_COMPACT);
		json_decref(ocsf);
		break;
	case ENCODE_JSON:
		err = ag_event_json(out->event, &out->bytes);
		break;
	}
	if (err == AG_OK && out->bytes == NULL)
		err = AG_NO_MEMORY;
	out->len = err == AG_OK ? strlen(out->bytes) : 0;
	return err;
}

void
encoded_free(struct encoded *e)
{
	feed_event_free(e->event);
	free(e->bytes);
	memset(e, 0, sizeof(*e));
}
