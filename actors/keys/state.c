/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of a key version, as one table.
 */
#include "state.h"

enum cell {
	NO,  /* no such transition; what a row leaves out */
	YES,
	PRE, /* not active yet */
	DEA, /* deactivated */
	COM, /* compromised */
	DES, /* destroyed */
	PEN, /* waits for its destruction */
	FRO, /* frozen */
};

static const struct verdict verdicts[] = {
	[YES] = { AG_OK, NULL, NULL },
	[NO] = { AG_ILLEGAL_OPERATION, "transition", "The key's state does not lead there." },
	[PRE] = { AG_INVALID_KEY_STATE, "pre_active", "The key is not active yet." },
	[DEA] = { AG_INVALID_KEY_STATE, "deactivated", "The key version is deactivated." },
	[COM] = { AG_KEY_COMPROMISED, NULL, "The key version is compromised." },
	[DES] = { AG_INVALID_KEY_STATE, "destroyed", "The key version is destroyed." },
	[PEN] = { AG_INVALID_KEY_STATE, "pending_destruction",
	    "The key version waits for its destruction." },
	[FRO] = { AG_INVALID_KEY_STATE, "frozen", "The key is frozen." },
};

/* pending, frozen: YES where they change nothing. A compromised or destroyed
 * version says so first. */
static const struct {
	unsigned char state[6]; /* from PreActive on */
	unsigned char pending, frozen;
} table[KEY_OP_COUNT] = {
	/*                          PreA  Act  Deac Comp Dest DesComp */
	[KEY_OP_PROTECT] =        { { PRE, YES, DEA, COM, DES, DES }, PEN, FRO },
	[KEY_OP_PROCESS] =        { { PRE, YES, YES, COM, DES, DES }, PEN, FRO },
	[KEY_OP_PUBLIC] =         { { YES, YES, YES, YES, DES, DES }, YES, YES },
	[KEY_OP_READ] =           { { YES, YES, YES, YES, YES, YES }, YES, YES },
	[KEY_OP_UPDATE] =         { { YES, YES, YES, YES, DES, DES }, YES, YES },
	[KEY_OP_ACTIVATE] =       { { YES, NO,  NO,  NO,  NO,  NO  }, PEN, YES },
	[KEY_OP_DEACTIVATE] =     { { NO,  YES, NO,  NO,  NO,  NO  }, PEN, YES },
	[KEY_OP_ROTATE] =         { { NO,  YES, NO,  NO,  NO,  NO  }, PEN, YES },
	/* SP 800-57 has Destroyed → Destroyed Compromised, too. */
	[KEY_OP_COMPROMISE] =     { { YES, YES, YES, NO,  YES, NO  }, YES, YES },
	[KEY_OP_DESTROY] =        { { YES, NO,  YES, YES, NO,  NO  }, NO,  YES },
	[KEY_OP_FREEZE] =         { { YES, YES, YES, YES, NO,  NO  }, YES, NO },
	/* CANCEL_DESTROY and UNFREEZE are about what lies over the state: look. */
};

static enum cell
look(enum key_op op, const struct standing *s)
{
	enum cell cell = table[op].state[s->state - AG__KEY_STATE__V__PreActive];

	if (op == KEY_OP_CANCEL_DESTROY)
		return s->pending ? YES : NO;
	if (op == KEY_OP_UNFREEZE)
		return s->frozen ? YES : NO;
	if (cell == COM || cell == DES)
		return cell;
	if (s->pending && table[op].pending != YES)
		return table[op].pending;
	if (s->frozen && table[op].frozen != YES)
		return table[op].frozen;
	return cell;
}

struct verdict
state_check(enum key_op op, const struct standing *standing)
{
	if (standing->state < AG__KEY_STATE__V__PreActive ||
	    standing->state > AG__KEY_STATE__V__DestroyedCompromised)
		return verdicts[DES];
	return verdicts[look(op, standing)];
}
