/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what in which state (NIST SP 800-57 Part 1 §7; contract §4).
 */
#ifndef KEYS_STATE_H
#define KEYS_STATE_H

#include <aegis/aegis.h>

enum key_op {
	KEY_OP_PROTECT, /* sign, encrypt, generate-data-key */
	KEY_OP_PROCESS, /* verify, decrypt */
	KEY_OP_PUBLIC,  /* public-key, public-jwk */
	KEY_OP_READ,
	KEY_OP_UPDATE,
	KEY_OP_ACTIVATE,
	KEY_OP_DEACTIVATE,
	KEY_OP_ROTATE,
	KEY_OP_COMPROMISE,
	KEY_OP_DESTROY,
	KEY_OP_CANCEL_DESTROY,
	KEY_OP_FREEZE,
	KEY_OP_UNFREEZE,
	KEY_OP_COUNT
};

struct verdict {
	ag_err err;              /* AG_OK: go on */
	const char *reason_code;
	const char *detail;
};

/* One version's state, and what lies over it. */
struct standing {
	Ag__KeyState__V state;
	bool pending; /* this version waits for its destruction */
	bool frozen;
};

struct verdict state_check(enum key_op op, const struct standing *standing);

#endif
