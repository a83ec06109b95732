/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be wrong with an installation, one row a question. `aegis doctor`
 * asks all of them; `aegis up` asks those that would stop it anyway, so that
 * both say the same words. A look reads and measures; it changes nothing that
 * it does not put back, and never says what is in a secret file.
 */
#ifndef AEGIS_DOCTOR_H
#define AEGIS_DOCTOR_H

#include <aegis/aegis.h>

#include <jansson.h>

enum {
	AG_FINDING_WHAT = 512,
	AG_FINDING_TYPE = 384,
};

enum ag_grade {
	AG_FINE,
	AG_UNKNOWN, /* could not be asked; not held against anybody */
	AG_ODD,     /* it works, and somebody should look */
	AG_WRONG,
};

struct ag_finding {
	enum ag_grade grade;
	int exit_status;            /* of `aegis up`, if it is wrong */
	char what[AG_FINDING_WHAT]; /* what is, or what is wrong */
	char type[AG_FINDING_TYPE]; /* what to type about it; "": nothing */
};

struct ag_site {
	const char *state_dir;       /* absolute; need not exist */
	const char *config_file;     /* NULL: only defaults */
	const struct ag_config *config; /* NULL: it cannot be read */
	const char *config_mistake;  /* why */
	const char *listen;          /* instead of rest.listen; or NULL */
	const json_t *status;        /* what the supervisor says; NULL: none runs */
};

struct ag_check {
	const char *name;
	bool at_start; /* wrong: `aegis up` does not start */
	void (*look)(const struct ag_site *site, struct ag_finding *finding);
};
/* The i-th row, NULL past the end. */
const struct ag_check *ag_check_at(unsigned i);

void ag_find(struct ag_finding *finding, enum ag_grade grade, const char *fmt,
    ...) AG_PRINTF(3, 4);
/* exit_status is what `aegis up` ends with. */
void ag_find_wrong(struct ag_finding *finding, int exit_status, const char *fmt,
    ...) AG_PRINTF(3, 4);
void ag_find_type(struct ag_finding *finding, const char *fmt, ...)
    AG_PRINTF(2, 3);

/* ---- state.c: files */
/* The state directory of a fleet whose processes have uids of their own: root's,
 * where one of them may make files, and the others see no name. */
enum { AG_STATE_SHARED_MODE = 01771 };
/* A directory that is ours alone, or that one. It must exist. */
void ag_look_dir(const char *path, struct ag_finding *finding);
/* VERSION in it: AG_WRONG if it is newer than we are. */
void ag_look_version(const char *state_dir, struct ag_finding *finding);
void ag_look_state(const struct ag_site *site, struct ag_finding *finding);
void ag_look_state_version(const struct ag_site *site, struct ag_finding *finding);
void ag_look_leftovers(const struct ag_site *site, struct ag_finding *finding);
void ag_look_disk(const struct ag_site *site, struct ag_finding *finding);
void ag_look_sync(const struct ag_site *site, struct ag_finding *finding);
void ag_look_master_key(const struct ag_site *site, struct ag_finding *finding);
void ag_look_admin_token(const struct ag_site *site, struct ag_finding *finding);
void ag_look_config(const struct ag_site *site, struct ag_finding *finding);

/* ---- machine.c: what the kernel allows, and the clock */
void ag_look_open_files(const struct ag_site *site, struct ag_finding *finding);
void ag_look_locked_memory(const struct ag_site *site, struct ag_finding *finding);
void ag_look_clock(const struct ag_site *site, struct ag_finding *finding);
void ag_look_time_sync(const struct ag_site *site, struct ag_finding *finding);
void ag_look_kernel(const struct ag_site *site, struct ag_finding *finding);

/* ---- public.c: the listener and its certificate */
void ag_look_port(const struct ag_site *site, struct ag_finding *finding);
void ag_look_certificate(const struct ag_site *site, struct ag_finding *finding);
void ag_look_certificate_key(const struct ag_site *site,
    struct ag_finding *finding);

/* ---- fleet.c: who runs, and how well */
void ag_look_processes(const struct ag_site *site, struct ag_finding *finding);
void ag_look_restarts(const struct ag_site *site, struct ag_finding *finding);

#endif
