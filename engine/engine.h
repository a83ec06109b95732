/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine's files know of each other, and nobody else. (The broker
 * uses the bus, boot, log and jail parts: it is a switch, not an actor.)
 */
#ifndef AEGIS_ENGINE_H
#define AEGIS_ENGINE_H

#include <aegis/aegis.h>

#include <stdio.h>

/* ---- log.c: one JSON line. request_id: 16 bytes or NULL. */
void ag_log_open(const char *name, enum ag_level least);
void ag_log_least(const char *word); /* log.level; another word changes nothing */
/* The same while it runs; says so, if either level lets it. */
void ag_log_turn(const char *word);
void ag_log_line(enum ag_level level, const char *event,
    const uint8_t *request_id, const char *fmt, va_list ap);
/* For code without a context (broker, supervisor, store). */
void ag_log_plain(enum ag_level level, const char *event, const char *fmt, ...)
    AG_PRINTF(3, 4);

/* ---- boot.c: descriptor 3. Blocks until the boot message is there. */
enum { AG_BOOT_FD = 3, AG_BOOT_BYTES_MAX = 1 << 20 };
/* Reads on descriptor 3 what came after boot, as recv does. A descriptor that
 * comes along is the log from now on: it takes standard error's place. */
ssize_t ag_boot_hear(int fd, void *out, size_t size);
ag_err ag_boot_read(int fd, Ag__Boot **out) AG_MUST; /* free with protobuf-c */
ag_err ag_boot_write(int fd, const Ag__Boot *boot) AG_MUST;
/* Same framing for what follows on the descriptor (broker orders). */
ag_err ag_boot_tell(int fd, const char *line) AG_MUST; /* "ready" */

/* ---- jail.c: the last act with privilege. "PURE" "WRITER" "LISTENER".
 * No core, not dumpable, no new privileges, seccomp. */
ag_err ag_jail_enter(const char *jail) AG_MUST;
void ag_jail_early(void); /* before any secret: dumpable off, core 0 */
/* What holds before the program is even there: it may still be executed, but
 * starts nothing else, and traces and signals nobody. After NO_NEW_PRIVS. */
ag_err ag_jail_ahead(void) AG_MUST;
bool ag_jail_skipped(void); /* an instrumented build, which has none */

/* ---- fence.c: which files a process may see; between fork and exec */
enum ag_fence_how {
	AG_FENCE_READ = 1 << 0,
	AG_FENCE_LIST = 1 << 1,   /* names only */
	AG_FENCE_WRITE = 1 << 2,  /* make, change and remove, too; not read */
	AG_FENCE_SOCKET = 1 << 3, /* make and remove sockets */
};
struct ag_fence {
	const char *path; /* a folder with all below it, or a file */
	unsigned how;
};
/* AG_UNAVAILABLE: this kernel has no such thing. AG_IO: errno says why. */
ag_err ag_fence_enter(const struct ag_fence *rows, size_t count) AG_MUST;
int ag_fence_revision(void); /* of the kernel's; 0: none */

/* ---- store.c: tables in one LMDB environment */
struct ag_db;
/* dir is made (0700). tables: NULL-terminated, ≤ AG_TABLES_MAX. Values handed to
 * ag_db_put must not point into the store. AG_FULL from put or del: the batch
 * since the last commit is lost; ag_db_commit says AG_FULL once more and then
 * the store goes on from that commit. AG_IO: it is over for this process. */
ag_err ag_db_open(const char *dir, const char *const *tables, size_t map_bytes,
    struct ag_db **out) AG_MUST;
void ag_db_close(struct ag_db **db); /* without commit */
ag_err ag_db_wipe(const char *dir) AG_MUST; /* removes the environment's files */
ag_err ag_db_put(struct ag_db *db, unsigned table, const void *key,
    size_t key_len, const void *value, size_t value_len) AG_MUST;
ag_err ag_db_get(struct ag_db *db, unsigned table, const void *key,
    size_t key_len, const uint8_t **value, size_t *value_len) AG_MUST;
ag_err ag_db_del(struct ag_db *db, unsigned table, const void *key,
    size_t key_len) AG_MUST;
/* visit may put and del in this store (any table) once it is done with the value
 * it was given; rows put behind the one it is at are visited, before it not. */
ag_err ag_db_scan(struct ag_db *db, unsigned table, const void *from,
    size_t from_len, ag_store_visit *visit, void *arg) AG_MUST;
/* Small named numbers (positions), in the same transaction. 0 if unset. */
ag_err ag_db_number(struct ag_db *db, const char *name, uint64_t *out) AG_MUST;
ag_err ag_db_set_number(struct ag_db *db, const char *name, uint64_t v) AG_MUST;
bool ag_db_dirty(const struct ag_db *db);
ag_err ag_db_commit(struct ag_db *db) AG_MUST; /* durable when it returns */

/* ---- arena.c: a turn's memory, through which messages are unpacked */
struct ag_arena;
ag_err ag_arena_new(size_t max_bytes, struct ag_arena **out) AG_MUST;
void ag_arena_free(struct ag_arena **arena);
void *ag_arena_alloc(struct ag_arena *arena, size_t size);
void ag_arena_wipe(struct ag_arena *arena); /* zeroes what was used */
ProtobufCAllocator *ag_arena_allocator(struct ag_arena *arena);

/* ---- arena.c: what is left and used (tests, metrics) */
size_t ag_arena_used(const struct ag_arena *arena);

/* ---- id.c: random bytes from a buffered pool (ids, nonces; never keys) */
void ag_random(void *out, size_t len);

/* ---- secret.c: sealing and the grant MAC, below the context */
enum {
	AG_SEAL_NONCE_BYTES = 24,
	AG_SEAL_TAG_BYTES = 16,
	AG_SEAL_PEERS_MAX = 64, /* shared keys kept; the least used goes */
};
/* A new X25519 pair for this boot. Needs ag_secret_init. */
ag_err ag_seal_boot(uint8_t pk[AG_SEAL_KEY_BYTES], struct ag_secret **sk)
    AG_MUST;
struct ag_sealer; /* the boot's secret key, and a key per peer already met */
/* Copies sk into the locked region; the caller may free its own. */
ag_err ag_sealer_new(const struct ag_secret *sk, struct ag_sealer **out)
    AG_MUST;
void ag_sealer_free(struct ag_sealer **sealer);
/* box has room for len + AG_SEAL_TAG_BYTES; nonce is made here, at random.
 * AG_BAD_MESSAGE: `to` is no usable public key. */
ag_err ag_seal_raw(struct ag_sealer *sealer, const uint8_t to[AG_SEAL_KEY_BYTES],
    const void *plain, size_t len, uint8_t nonce[AG_SEAL_NONCE_BYTES],
    uint8_t *box) AG_MUST;
/* AG_BAD_MESSAGE: not sealed by `from` for us, or changed on the way. */
ag_err ag_unseal_raw(struct ag_sealer *sealer,
    const uint8_t from[AG_SEAL_KEY_BYTES],
    const uint8_t nonce[AG_SEAL_NONCE_BYTES], const uint8_t *box,
    size_t box_len, struct ag_secret **out) AG_MUST;

/* The same into the caller's box_len - AG_SEAL_TAG_BYTES bytes. */
ag_err ag_unseal_into(struct ag_sealer *sealer,
    const uint8_t from[AG_SEAL_KEY_BYTES],
    const uint8_t nonce[AG_SEAL_NONCE_BYTES], const uint8_t *box,
    size_t box_len, uint8_t *out) AG_MUST;

struct ag_mac; /* HMAC-SHA-256, keyed once, under a microsecond a use */
ag_err ag_mac_new(const uint8_t *key, size_t key_len, struct ag_mac **out)
    AG_MUST;
void ag_mac_free(struct ag_mac **mac);
ag_err ag_mac_sign(struct ag_mac *mac, const void *bytes, size_t len,
    uint8_t out[AG_MAC_BYTES]) AG_MUST;
/* Constant time; false also if given_len is not AG_MAC_BYTES. */
bool ag_mac_verify(struct ag_mac *mac, const void *bytes, size_t len,
    const uint8_t *given, size_t given_len) AG_MUST;

/* ---- config.c: from text in memory (kit, fuzzers); name is for messages */
ag_err ag_config_parse(const char *name, const char *text, size_t len,
    struct ag_config **out, char *message, size_t message_size) AG_MUST;

/* ---- frame.c: the codec (docs/framing.md) */
enum {
	AG_FRAME_VERSION = 1,
	AG_FRAME_HEADER = 16, /* version u16, to u16, from u16, count u16, reserved u64 */
	/* length u32 (of what follows this header: envelope and body), type u16,
	 * flags u16 (0), envelope length u32 */
	AG_PART_HEADER = 12,
	AG_FRAME_PARTS_MAX = 1024,
};
struct ag_frame {
	uint16_t version, to, from, count;
};
struct ag_part {
	uint16_t type;
	const uint8_t *env;
	size_t env_len;
	const uint8_t *body;
	size_t body_len;
};
/* Refuses (AG_BAD_MESSAGE) anything short, long, or of another version; walks
 * all parts, so that ag_frame_part cannot fail on a frame that passed. */
ag_err ag_frame_parse(const uint8_t *bytes, size_t len, struct ag_frame *out)
    AG_MUST;
/* The part at *offset (start with AG_FRAME_HEADER); advances it. */
ag_err ag_frame_part(const uint8_t *bytes, size_t len, size_t *offset,
    struct ag_part *out) AG_MUST;
void ag_frame_stamp(uint8_t *bytes, uint16_t from); /* the broker's only edit */
void ag_frame_write_header(uint8_t *bytes, uint16_t to, uint16_t count);
/* part_len: envelope and body together, without this header. */
void ag_part_write_header(uint8_t *bytes, uint32_t part_len, uint16_t type,
    uint32_t env_len);

/* ---- bus.c: the only place that knows ZeroMQ */
struct ag_bus; /* an actor's mailbox: one DEALER to the broker */
ag_err ag_bus_connect(const char *endpoint, const char *name,
    const uint8_t token[32], unsigned queue_max, struct ag_bus **out) AG_MUST;
void ag_bus_close(struct ag_bus **bus, unsigned linger_ms);
int ag_bus_fd(struct ag_bus *bus); /* edge: readable when something changed */
/* Next frame: AG_OK, borrowed until the next call; AG_ITEM_NOT_FOUND: none. */
ag_err ag_bus_recv(struct ag_bus *bus, const uint8_t **bytes, size_t *len)
    AG_MUST;
bool ag_bus_waiting(struct ag_bus *bus);
/* Takes bytes (malloc'd), frees them. AG_FULL: the queue is full (ours). */
ag_err ag_bus_send(struct ag_bus *bus, uint8_t *bytes, size_t len) AG_MUST;

struct ag_switch; /* the broker's side: one DEALER per row, and ZAP */
struct ag_switch_row {
	unsigned slot;
	const char *name;
	const char *endpoint;
	uint8_t token_hash[32];
	bool has_uid; /* else as ag_switch_new was told */
	unsigned uid; /* of the only process that may come */
};
typedef void ag_switch_on_frame(void *arg, unsigned slot, uint8_t *bytes,
    size_t len);
typedef void ag_switch_on_peer(void *arg, unsigned slot, bool up);
ag_err ag_switch_new(unsigned slots_max, unsigned queue_max, unsigned uid,
    struct ag_switch **out) AG_MUST;
void ag_switch_free(struct ag_switch **sw);
/* Binds the row's endpoint; a row that was open is closed first: the new
 * start of a process evicts the old. */
ag_err ag_switch_open(struct ag_switch *sw, const struct ag_switch_row *row)
    AG_MUST;
void ag_switch_close(struct ag_switch *sw, unsigned slot);
/* Waits up to timeout_ms (extra_fd, if ≥ 0, ends the wait too), then hands out
 * at most AG_TURN_FRAMES_MAX frames per row. *extra: extra_fd is readable. */
ag_err ag_switch_turn(struct ag_switch *sw, int timeout_ms, int extra_fd,
    bool *extra, ag_switch_on_frame *on_frame, ag_switch_on_peer *on_peer,
    void *arg) AG_MUST;
/* During on_frame: sends this very frame on without a copy; later: copies.
 * AG_FULL, AG_NOBODY (nobody is connected there). */
ag_err ag_switch_forward(struct ag_switch *sw, unsigned to) AG_MUST;
ag_err ag_switch_send(struct ag_switch *sw, unsigned to, const uint8_t *bytes,
    size_t len) AG_MUST;
bool ag_switch_is_live(const struct ag_switch *sw, unsigned slot);
/* Another descriptor to wait for, for as long as the switch: on_ready(arg, n)
 * when it is readable, in each turn until it is not. */
typedef void ag_switch_on_ready(void *arg, unsigned n);
ag_err ag_switch_also(struct ag_switch *sw, int fd, unsigned n,
    ag_switch_on_ready *on_ready, void *arg) AG_MUST;
void ag_switch_no_more(struct ag_switch *sw, int fd); /* of such a one */
uint64_t ag_switch_denied(const struct ag_switch *sw); /* handshakes refused */

struct ag_topics; /* XPUB, for sinks/topics */
ag_err ag_topics_open(const char *endpoint, unsigned queue_max,
    struct ag_topics **out) AG_MUST;
/* Has anybody ever subscribed to anything? */
bool ag_topics_wanted(struct ag_topics *topics);
ag_err ag_topics_publish(struct ag_topics *topics, const char *topic,
    const void *bytes, size_t len) AG_MUST; /* two frames: topic, event */
void ag_topics_close(struct ag_topics **topics);

/*
 * ---- pair.c: a line between two processes, without the broker and its queues.
 * What is said while nobody hears waits in the socket, and behind that in the
 * one who says. None of these blocks but ag_pair_out_close.
 */
struct ag_pair_out; /* says */
struct ag_pair_in;  /* hears */
struct ag_pair_room; /* where a turn's packets are put; one for all that hear */
typedef void ag_pair_on_frame(void *arg, uint8_t *bytes, size_t len);
/* Does the one have a pair for what it says to the other by way of the broker,
 * and does anybody? proto/lines.def says. */
bool ag_door_between(enum ag_role from, enum ag_role to);
bool ag_door_to(enum ag_role to);
/* ends[0] says, ends[1] hears; close-on-exec. */
ag_err ag_pair_make(int ends[2]) AG_MUST;
/* Takes fd. At most queue_max frames wait for the socket's room. */
ag_err ag_pair_out_open(int fd, unsigned queue_max, struct ag_pair_out **out)
    AG_MUST;
/* Copies what has to wait. AG_FULL: queue_max frames do, or 64 MiB. */
ag_err ag_pair_out_send(struct ag_pair_out *out, const uint8_t *bytes,
    size_t len) AG_MUST;
bool ag_pair_out_waits(const struct ag_pair_out *out); /* flush it when writable */
bool ag_pair_out_is_crowded(const struct ag_pair_out *out); /* a quarter waits */
/* Bytes of the kernel's that the hearer has not taken yet. */
size_t ag_pair_out_unheard(const struct ag_pair_out *out);
void ag_pair_out_flush(struct ag_pair_out *out);
void ag_pair_out_forget(struct ag_pair_out *out); /* what waits */
/* Gives what waits linger_ms, each time that the hearer takes some of it. */
void ag_pair_out_close(struct ag_pair_out **out, unsigned linger_ms);
ag_err ag_pair_in_open(int fd, struct ag_pair_in **in) AG_MUST; /* takes fd */
/* Hands out at most AG_TURN_FRAMES_MAX frames, each for as long as the call;
 * *malformed grows by the packets that were none. AG_IO: it cannot be read.
 * AG_NOBODY: who said has ended it, and nothing ever comes again. */
ag_err ag_pair_in_turn(struct ag_pair_in *in, struct ag_pair_room *room,
    unsigned *malformed, ag_pair_on_frame *on_frame, void *arg) AG_MUST;
void ag_pair_in_skip(struct ag_pair_in *in); /* what is there already */
void ag_pair_in_close(struct ag_pair_in **in);
ag_err ag_pair_room_new(struct ag_pair_room **room) AG_MUST;
void ag_pair_room_free(struct ag_pair_room **room);

/* ---- clock.c: the wall clock against the monotonic one */
enum {
	AG_CLOCK_BACK_MS = 2000,   /* less is the work of a time daemon */
	AG_CLOCK_AHEAD_MS = 60000,
};
/* Both clocks at one moment: when the fleet was started. */
struct ag_clock {
	int64_t wall_ms;
	uint64_t mono_ms;
};
/* The wall clock, but never less than what has passed since then. */
int64_t ag_clock_held(const struct ag_clock *clock, int64_t wall_ms,
    uint64_t mono_ms);
/* By how much it was set ahead, or back (negative); 0: it was not. */
int64_t ag_clock_jump(const struct ag_clock *clock, int64_t wall_ms,
    uint64_t mono_ms);

/* ---- json.c */
/* The message as one line of JSON (ag_json_message says how); free(*out). */
ag_err ag_json_text(const ProtobufCMessage *msg, char **out) AG_MUST;

/* ---- wire.c */
/*
 * The packed message without its top-level fields of these numbers (skips ends
 * with 0); what cannot be read as fields is kept as it is. Returns its length;
 * out has room for len. A number of two bytes (above 127) cannot be skipped.
 */
size_t ag_wire_without(const uint8_t *bytes, size_t len, const uint8_t *skips,
    uint8_t *out);

#endif
