/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor's files know of each other. One table of children, one
 * loop over it (up.c); everything else is about one thing.
 */
#ifndef AEGIS_SUPERVISOR_H
#define AEGIS_SUPERVISOR_H

#include "fleet.h"
#include "supervise.h"

#include "engine.h"

#include <aegis/master.h>

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
	STATE_PATH_MAX = 3072, /* of the state directory; files in it fit PATH_MAX */
	LOCAL_ACTORS_MAX = 32, /* actors.d */
	GUESTS_MAX = 32,       /* enrolled */
	/* Slots: the fleet's rows have 0…95. Those of guests do not move when the
	 * fleet grows, because a guest keeps its file. The broker knows 256. */
	LOCAL_SLOT = 128,
	GUEST_SLOT = 160,
	CHILDREN_MAX = 1 + AG_FLEET_ROWS_MAX + LOCAL_ACTORS_MAX,
	ENDPOINT_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) + 6,
	LISTEN_FD = 4, /* a plane's listener */
	LINE_FD = 5,   /* the first end of a line */
	LINE_ENDS_MAX = 2 * CHILDREN_MAX, /* both ways to and from everybody */

	/* What all planes together may admit (design §2). */
	CREDIT_REQUESTS = 4096,
	CREDIT_BYTES = 64 << 20,

	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 10000,
	BACKOFF_RESET_MS = 30000, /* a life this long starts over */
	FIRST_TRIES_MAX = 5,      /* deaths before the fleet was ever ready */
	FIRST_READY_MS = 60000,
	DRAIN_MS = 30000,
};

/* Exit statuses of rest-contract §9. */
enum {
	EXIT_YES = 0,
	EXIT_NO = 1,
	EXIT_BAD_INPUT = 2,
	EXIT_UNAUTHENTICATED = 3,
	EXIT_NOT_FOUND = 4,
	EXIT_CONFLICT = 6,
	EXIT_TRY_AGAIN = 7,
	EXIT_FAULT = 8,
	EXIT_INTERRUPTED = 130,
};

/* ---- children.c */

enum child_state {
	CHILD_WAITING,  /* its stage has not come */
	CHILD_STARTING, /* runs, has not said ready */
	CHILD_READY,
	CHILD_BACKOFF,  /* ended, starts again at next_ms */
	CHILD_STOPPING, /* was told to end */
	CHILD_STOPPED,
};

/* The socket of one kind of plane; bound here, so that a restarted plane keeps
 * its port, and shared by all its processes. */
struct listener {
	const char *plane; /* its section, which is its program's name */
	int fd;
	char url[300];
};

enum { LISTENERS_MAX = 4 };

struct child {
	char name[AG_FLEET_NAME_SIZE];
	char role[16];
	unsigned slot;
	unsigned index;
	unsigned stage;
	const char *jail;
	uid_t uid;      /* its own (process.uid_base); 0: the supervisor's */
	char *program;  /* path; owned */
	char **argv;    /* NULL-terminated; owned; argv[0] is the program */
	bool is_broker, is_plane, is_stdout;
	const struct listener *listener; /* of a plane */
	bool is_local;  /* of actors.d: nobody waits for it */
	bool wants_mac;
	bool is_rot;

	enum child_state state;
	pid_t pid;
	int fd;         /* our end of its descriptor 3; -1 if none */
	char line[AG_WORD_MAX + 1]; /* what it says there, until the newline */
	char said[AG_WORD_MAX + 1]; /* the last line of its own, since its start */
	size_t line_len;
	int status;     /* of its last end, as waitpid says */
	unsigned deaths, restarts;
	unsigned backoff_ms;
	uint64_t started_ms, next_ms; /* monotonic */

	unsigned generation;
	char endpoint[ENDPOINT_SIZE];
	uint8_t token_hash[32];
};

/* One who joined with a file. */
struct guest {
	char name[AG_FLEET_NAME_SIZE];
	char role[16]; /* "subscriber" "guest" */
	unsigned slot; /* 0: free place */
	unsigned generation;
	char endpoint[ENDPOINT_SIZE];
	uint8_t token_hash[32];
};

enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING };

struct client {
	int fd; /* -1: free place */
	size_t len;
	char line[2048];
};

enum { CLIENTS_MAX = 8 };

struct supervisor {
	/* options */
	const char *config_file, *state_option, *listen, *clock_option;
	const char *passphrase_file;
	bool dev_identity; /* whoever says who they are is believed */
	bool detach, quiet;
	/* files */
	char state_dir[STATE_PATH_MAX];
	char run_dir[STATE_PATH_MAX + 8];
	char clock_file[PATH_MAX];
	int lock_fd;
	bool had_admin_token;
	/* what the children are told */
	struct ag_config *config;
	char *config_text;
	char level[8]; /* log.level as it was read again; "": never */
	char *limits;  /* the packed configuration of that time; NULL: never */
	int64_t clock_wall_ms;  /* both clocks at the start */
	uint64_t clock_mono_ms;
	uint8_t mac_key[32];
	struct ag_master_lock master_lock; /* key NULL: none */
	int tty_fd; /* where a passphrase is asked for; or -1 */
	struct line *lines; /* owned; both ends of each stay open here */
	unsigned line_count;
	unsigned plane_count;
	/* the public side */
	struct listener listeners[LISTENERS_MAX]; /* [0]: rest, always */
	unsigned listener_count;
	int log_fd; /* -1: stderr */
	int stdout_fd;
	int ready_fd; /* --detach: the parent waits at its other end; or -1 */
	/* the table */
	struct child children[CHILDREN_MAX]; /* [0] is the broker */
	unsigned count;
	struct guest guests[GUESTS_MAX];
	/* the machine */
	enum phase phase;
	unsigned stage, stage_count;
	uint64_t deadline_ms; /* of starting, or of draining */
	uint64_t started_ms;
	int exit_status;
	bool killed; /* SIGKILL was sent to what was left */
	int signal_fd, control_fd;
	struct client clients[CLIENTS_MAX];
};

uint64_t ag_sup_now_ms(void); /* CLOCK_BOOTTIME */
/* Copies at most size - 1 bytes; out ends with NUL. */
void ag_sup_copy(char *out, size_t size, const char *text);
/* "aegis: up: …" on stderr. */
void ag_sup_complain(const char *verb, const char *fmt, ...) AG_PRINTF(2, 3);

/* Fills the table from the configuration and actors.d; programs are looked
 * for. Complains and returns the exit status, or EXIT_YES. */
int ag_children_plan(struct supervisor *sup);
/* Starts it: new token, new generation; tells the broker first. */
void ag_child_start(struct supervisor *sup, struct child *child);
/* Reads what it said on its descriptor. */
void ag_child_hear(struct supervisor *sup, struct child *child);
/* It ended with this status. */
void ag_child_ended(struct supervisor *sup, struct child *child, int status);
void ag_child_signal(struct child *child, int signo);
void ag_children_free(struct supervisor *sup);
bool ag_child_gone(const struct child *child); /* no process */
const char *ag_child_state_name(const struct child *child);
/* The delay before the next start, given the last one and how long it lived. */
unsigned ag_backoff_next(unsigned last_ms, uint64_t lived_ms);
/* "exit status 2", "signal 9 (Killed)" */
void ag_status_text(int status, char *out, size_t size);
/* The path "ipc://<run>/bus/<name>.<generation>"; false: longer than a Unix
 * socket's name may be. */
bool ag_endpoint_name(const char *run_dir, const char *name,
    unsigned generation, char out[ENDPOINT_SIZE]);

/* Removes the socket of a generation that is over; libzmq does not. */
void ag_endpoint_remove(const char *endpoint);

/* ---- spawn.c: fork, descriptors, exec; the boot message */
/* *pid, *fd (our end). The token is in self; nothing else keeps it. */
ag_err ag_spawn(struct supervisor *sup, const struct child *child,
    const uint8_t token[32], pid_t *pid, int *fd) AG_MUST;
/* A guest's file: u32 LE length and packed Boot. malloc'd, wiped by caller. */
ag_err ag_guest_boot(struct supervisor *sup, const struct guest *guest,
    const uint8_t token[32], uint8_t **bytes, size_t *len) AG_MUST;
/* Tells the running broker to open a row (again). */
void ag_broker_order(struct supervisor *sup, unsigned slot, const char *name,
    const char *role, const char *endpoint, const uint8_t token_hash[32],
    uid_t uid);
/* Where <name> is: beside our own program, or installed. NULL, and what was
 * tried in `tried`. Owned by the caller. */
char *ag_program_find(const char *name, char *tried, size_t tried_size);
/* A line to a child; not to the broker. */
void ag_child_tell(struct child *child, const char *line);
/* Tells it the least that it is to log from now on. */
/* Tells iam its limits, as they were read again. */
void ag_child_limits(struct supervisor *sup, struct child *child);
/* The log has been opened anew: the child goes on in it. */
void ag_child_log(struct supervisor *sup, struct child *child);
void ag_child_level(struct supervisor *sup, struct child *child,
    const char *level);
ag_err ag_random_bytes(void *out, size_t len) AG_MUST;

/* ---- fence.c: what a process may see of the file system */
enum { FENCE_ROWS_MAX = 256 }; /* a file may have a folder of its own */
struct fence {
	struct ag_fence rows[FENCE_ROWS_MAX];
	size_t count;
};
/* EXIT_YES, also where none is asked for; says what the kernel lacks. */
int ag_fence_check(struct supervisor *sup);
/* Whether some process is let to the file that this key of the configuration
 * names. */
bool ag_fence_is_owned(const char *key);
/* In the parent, before the fork: makes the child's folders. count 0: none is
 * asked for, or it is somebody's own program. Valid until the next call. */
ag_err ag_fence_plan(struct supervisor *sup, const struct child *child,
    struct fence *out) AG_MUST;

/* What the configuration lets a process to: a file, or a folder with all below
 * it. how: enum ag_fence_how. */
struct fence_file {
	const char *key, *path;
	unsigned how;
	bool in_state, is_folder;
};
typedef ag_err fence_visit(struct supervisor *sup, void *arg,
    const struct fence_file *file);
/* Each of them; the first error ends it. */
ag_err ag_fence_files(struct supervisor *sup, const struct child *child,
    fence_visit *visit, void *arg) AG_MUST;

/* ---- uids.c: a uid for each process, of a supervisor that is root */
/* Gives each its uid, and what is its own of the state directory; says which
 * file it could not read. EXIT_YES also where none is asked for. */
int ag_uids_take(struct supervisor *sup);
/* In the child, before the program: it is who it is to be, for good. errno. */
ag_err ag_uid_become(const struct supervisor *sup, const struct child *child)
    AG_MUST;

/* ---- lines.c: who talks to whom without the broker */
struct line {
	unsigned from, to; /* slots of those who have the ends, */
	int ends[2];       /* from's, to's */
	unsigned whom;     /* whom from's frames are for: to, unless that is the broker */
};
/* The ends that one child gets, as descriptors LINE_FD, LINE_FD + 1 … */
struct line_ends {
	int fds[LINE_ENDS_MAX]; /* here */
	unsigned count;
	Ag__BootLine rows[LINE_ENDS_MAX];
	Ag__BootLine *to[LINE_ENDS_MAX], *from[LINE_ENDS_MAX];
	size_t to_count, from_count;
};
/* Makes all of them, when the table of children is filled. */
ag_err ag_lines_make(struct supervisor *sup) AG_MUST;
void ag_lines_free(struct supervisor *sup);
void ag_lines_of(const struct supervisor *sup, const struct child *child,
    struct line_ends *ends);

/* ---- statedir.c */
/* Makes it, checks owner and mode, VERSION, takes the lock, sweeps run/. */
int ag_state_open(struct supervisor *sup);
void ag_state_close(struct supervisor *sup); /* run/ goes */
/* The lock that a running fleet holds, until *fd is closed. EXIT_CONFLICT: one
 * runs; says which. */
int ag_state_take(const char *verb, const char *dir, int *fd);
/* Whole file, 0600, by rename. */
ag_err ag_state_put(const char *dir, const char *name, const void *bytes,
    size_t len) AG_MUST;
bool ag_state_has(const struct supervisor *sup, const char *name);
int ag_endpoints_write(struct supervisor *sup);

/* ---- listen.c: the public listeners, and what the machine must allow */
int ag_listen_open(struct supervisor *sup);
void ag_listen_close(struct supervisor *sup);
/* NULL: that plane is not configured. */
const struct listener *ag_listener_of(const struct supervisor *sup,
    const char *plane);
int ag_config_check(struct supervisor *sup); /* what only `up` can know */
int ag_site_check(struct supervisor *sup);
/* "host:port" or "[v6]:port"; false if malformed. */
bool ag_listen_split(const char *text, char *host, size_t host_size,
    char *port, size_t port_size);

/* ---- unlock.c: the master key's passphrase, before anything is started */
int ag_unlock(struct supervisor *sup);
/* Where the master key is. */
void ag_master_path(const struct ag_config *config, const char *state_dir,
    char *out, size_t size);

/* ---- guests.c */
int ag_guests_load(struct supervisor *sup);
/* New or again. AG_INVALID_FIELD (name, role), AG_FULL, AG_IO; why says it.
 * token goes into the guest's file. */
ag_err ag_guest_enroll(struct supervisor *sup, const char *name,
    const char *role, uint8_t token[32], struct guest **out, char *why,
    size_t why_size) AG_MUST;
/* "subscriber" "actor" → the role's name on the bus; NULL: neither. */
const char *ag_guest_role(const char *word);

/* ---- local.c: actors.d/NAME.yaml */
struct local_actor {
	char name[AG_FLEET_NAME_SIZE];
	char role[16];
	char *program;
	char **args; /* NULL-terminated */
	unsigned arg_count;
};
/* Reads one; on a mistake "file:line: key: what would be right" in message. */
ag_err ag_local_read(const char *file, const char *name,
    struct local_actor *out, char *message, size_t message_size) AG_MUST;
void ag_local_free(struct local_actor *actor);

/* ---- control.c: run/control.sock */
int ag_control_open(struct supervisor *sup);
void ag_control_accept(struct supervisor *sup);
void ag_control_hear(struct supervisor *sup, struct client *client);
void ag_control_close(struct supervisor *sup);

/* ---- notify.c: for a service manager; nothing if there is none */
void ag_notify(const char *words); /* "READY=1", lines */

/* ---- drain.c */
void ag_drain(struct supervisor *sup, int exit_status, uint64_t timeout_ms);
void ag_drain_advance(struct supervisor *sup);
bool ag_drain_done(const struct supervisor *sup);

#endif
