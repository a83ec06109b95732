/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a call comes from, in one line that goes with it: to a root of trust,
 * into the audit log, back to the caller.
 *
 *   sys:<principal>:<approval|direct>:<request>
 *
 * The principal is its id's prefix and its number, the request its number, both
 * in base64url (RFC 4648 §5): nothing is cut off, and 62 characters are what
 * AWS's SourceIdentity and the like take (64). "approval": people agreed to it.
 */
#ifndef AEGIS_STAMP_H
#define AEGIS_STAMP_H

#include <aegis/id.h>

enum { AG_STAMP_SIZE = 65 };

struct ag_stamp {
	char principal[AG_ID_SIZE];
	bool approved;
	uint8_t request_id[AG_UUID_BYTES];
};

/* False: the principal is no id with a prefix of three letters. */
bool ag_stamp_text(const struct ag_stamp *stamp, char out[AG_STAMP_SIZE]);
/* False: it is not what ag_stamp_text makes; *out is then undefined. */
bool ag_stamp_parse(const char *text, struct ag_stamp *out);

#endif
