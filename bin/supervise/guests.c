/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guests: who may join a running fleet with a file. <state>/guests/NAME keeps
 * the slot, the role and the SHA-256 of the token; the token itself is only in
 * the file that the guest was given. Enrolling a name again gives a new token
 * and a new endpoint: the old file is worthless from then on.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_BYTES_MAX = 4096 };

static const struct {
	const char *word, *role;
} role_words[] = {
	{ "subscriber", "subscriber" },
	{ "actor", "guest" },
};

const char *
ag_guest_role(const char *word)
{
	for (size_t i = 0; i < sizeof(role_words) / sizeof(role_words[0]); i++)
		if (strcmp(role_words[i].word, word) == 0)
			return role_words[i].role;
	return NULL;
}

static struct guest *
guest_named(struct supervisor *sup, const char *name)
{
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		if (sup->guests[i].slot != 0 &&
		    strcmp(sup->guests[i].name, name) == 0)
			return &sup->guests[i];
	return NULL;
}

static ag_err
save(const struct supervisor *sup, const struct guest *guest)
{
	char dir[PATH_MAX], hex[65];
	json_t *record;
	char *text;
	ag_err err = AG_NO_MEMORY;

	ag_hex(guest->token_hash, 32, hex);
	record = json_pack("{s:s, s:i, s:i, s:s}", "role", guest->role, "slot",
	    (int)guest->slot, "generation", (int)guest->generation,
	    "token_sha256", hex);
	text = json_dumps(record, JSON_COMPACT);
	snprintf(dir, sizeof(dir), "%s/guests", sup->state_dir);
	if (text != NULL)
		err = ag_state_put(dir, guest->name, text, strlen(text));
	free(text);
	json_decref(record);
	return err;
}

static bool
parse(json_t *record, struct guest *guest)
{
	const char *role, *hex;
	int slot, generation;

	if (json_unpack_ex(record, NULL, JSON_STRICT, "{s:s, s:i, s:i, s:s}",
	        "role", &role, "slot", &slot, "generation", &generation,
	        "token_sha256", &hex) != 0)
		return false;
	if (slot < GUEST_SLOT || slot >= GUEST_SLOT + GUESTS_MAX ||
	    generation < 1 || strlen(hex) != 64 ||
	    !ag_hex_parse(hex, guest->token_hash, sizeof(guest->token_hash)))
		return false;
	if (strcmp(role, "subscriber") != 0 && strcmp(role, "guest") != 0)
		return false;
	ag_sup_copy(guest->role, sizeof(guest->role), role);
	guest->slot = (unsigned)slot;
	guest->generation = (unsigned)generation;
	return true;
}

static int
load_one(struct supervisor *sup, const char *dir, const char *name)
{
	char file[PATH_MAX + 256];
	struct guest guest = { 0 };
	json_t *record;
	bool ok;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	record = json_load_file(file, JSON_REJECT_DUPLICATES, NULL);
	ok = record != NULL && ag_name_valid(name) && parse(record, &guest);
	json_decref(record);
	if (!ok || sup->guests[guest.slot - GUEST_SLOT].slot != 0) {
		ag_sup_complain("up", "%s: is not a guest's record; remove it and "
		    "enroll `%s` again", file, name);
		return EXIT_BAD_INPUT;
	}
	ag_sup_copy(guest.name, sizeof(guest.name), name);
	if (!ag_endpoint_name(sup->run_dir, name, guest.generation,
	        guest.endpoint)) {
		ag_sup_complain("up", "%s: its socket's path is too long", file);
		return EXIT_BAD_INPUT;
	}
	sup->guests[guest.slot - GUEST_SLOT] = guest;
	return EXIT_YES;
}

static bool
ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* ".new" is what a crash left of a record being written. */
static int
is_record(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && !ends_in(entry->d_name, ".new");
}

int
ag_guests_load(struct supervisor *sup)
{
	struct dirent **entries;
	char dir[PATH_MAX];
	int n, status = EXIT_YES;

	snprintf(dir, sizeof(dir), "%s/guests", sup->state_dir);
	n = scandir(dir, &entries, is_record, alphasort);
	for (int i = 0; i < n; i++) {
		if (status == EXIT_YES)
			status = load_one(sup, dir, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return status;
}

static struct guest *
free_place(struct supervisor *sup, const char *name)
{
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct guest *guest = &sup->guests[i];

		if (guest->slot != 0)
			continue;
		memset(guest, 0, sizeof(*guest));
		guest->slot = GUEST_SLOT + i;
		ag_sup_copy(guest->name, sizeof(guest->name), name);
		return guest;
	}
	return NULL;
}

static bool
is_fleet_name(const struct supervisor *sup, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < sup->count; i++) {
		const char *row = sup->children[i].name;

		if (strcmp(row, name) == 0 ||
		    (strncmp(row, name, len) == 0 && row[len] == '.'))
			return true;
	}
	return false;
}

ag_err
ag_guest_enroll(struct supervisor *sup, const char *name, const char *role,
    uint8_t token[32], struct guest **out, char *why, size_t why_size)
{
	struct guest *guest, before;
	ag_err err;

	if (!ag_name_valid(name) || is_fleet_name(sup, name) ||
	    ends_in(name, ".new")) {
		snprintf(why, why_size, "NAME: [a-z0-9][a-z0-9._-]{0,62} is wanted, "
		    "and no name of the fleet's own");
		return AG_INVALID_FIELD;
	}
	guest = guest_named(sup, name);
	if (guest == NULL && (guest = free_place(sup, name)) == NULL) {
		snprintf(why, why_size, "at most %d guests", GUESTS_MAX);
		return AG_FULL;
	}
	before = *guest;
	ag_sup_copy(guest->role, sizeof(guest->role), role);
	guest->generation++;
	if ((err = ag_random_bytes(token, 32)) != AG_OK)
		goto undo;
	ag_sha256(token, 32, guest->token_hash);
	if (!ag_endpoint_name(sup->run_dir, name, guest->generation,
	        guest->endpoint)) {
		snprintf(why, why_size, "NAME: too long for a socket's path");
		err = AG_INVALID_FIELD;
		goto undo;
	}
	if ((err = save(sup, guest)) != AG_OK) {
		snprintf(why, why_size, "guests/%s: %s", name, strerror(errno));
		goto undo;
	}
	ag_endpoint_remove(before.endpoint);
	ag_broker_order(sup, guest->slot, name, guest->role, guest->endpoint,
	    guest->token_hash, 0);
	*out = guest;
	return AG_OK;
undo:
	*guest = before;
	if (before.generation == 0)
		guest->slot = 0; /* the place is free again */
	return err;
}
