/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop, shared by every actor: boot, connect, jail, then turns. A turn
 * takes at most AG_TURN_FRAMES_MAX frames, runs their handlers, lets the actor
 * flush, and only then sends what was said.
 */
#include "ctx.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void
ag_stop(struct ag_ctx *ctx, int status)
{
	ctx->stopping = true;
	if (status > ctx->exit_status)
		ctx->exit_status = status;
	if (ctx->base != NULL)
		event_base_loopbreak(ctx->base);
}

struct event_base *
ag_event_base(struct ag_ctx *ctx)
{
	return ctx->base;
}

/* ------------------------------------------------------------------ turns */

/* What was said waits for flush: a reply never overtakes its commit. */
void
run_turn_end(struct ag_ctx *ctx)
{
	ag_err err = AG_OK;

	if (!ctx->turned)
		return;
	ctx->turned = false;
	if (ctx->actor->flush != NULL)
		err = ctx->actor->flush(ctx->state, ctx);
	if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "FLUSH-FAILED", "error=%s",
		    ag_err_row(err)->name);
		ag_stop(ctx, 1);
		return; /* nothing of this turn leaves */
	}
	out_send_all(ctx);
	ag_arena_wipe(ctx->arena);
}

/* The test clock: a file with an offset in seconds. Looked at before whatever
 * comes, so that a request sent after the clock was moved finds it moved. */
void
run_clock(struct ag_ctx *ctx)
{
	char text[32];
	ssize_t n;
	int fd;

	if (ctx->boot->clock_file == NULL)
		return;
	fd = open(ctx->boot->clock_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	ctx->wall_offset_ms = (int64_t)(strtod(text, NULL) * 1000);
}

static void
bus_turn(struct ag_ctx *ctx)
{
	const uint8_t *bytes;
	size_t len;
	unsigned n = 0;

	run_clock(ctx);
	while (n < AG_TURN_FRAMES_MAX &&
	    ag_bus_recv(ctx->bus, &bytes, &len) == AG_OK) {
		trip_frame(ctx, bytes, len);
		n++;
	}
	ctx->look_again = n == AG_TURN_FRAMES_MAX;
	ctx->metrics->queue = ctx->look_again ? n : 0;
}

static void
on_bus(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	bus_turn(arg);
}

static void
commit_if_due(struct ag_ctx *ctx)
{
	if (ctx->db == NULL || ctx->actor->store_dir != NULL ||
	    ag_mono_ms(ctx) < ctx->commit_due_ms)
		return;
	ctx->commit_due_ms = ag_mono_ms(ctx) + COMMIT_MS;
	/* No commit holds a cursor that the flush hook has not seen. */
	run_turn_end(ctx);
	if (ctx->exit_status != 0)
		return;
	if (ag_store_commit(ctx) != AG_OK) {
		ag_log(ctx, AG_ERROR, "SNAPSHOT-FAILED", "the store cannot commit");
		ag_stop(ctx, 1);
	}
}

void
run_hello(struct ag_ctx *ctx)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__HelloEvent hello = AG__HELLO_EVENT__INIT;

	hello.name = ctx->boot->self->name;
	hello.boot = ctx->boot_id;
	if (out_add(ctx, AG_SLOT_BROKER, AG_MSG_HELLO_EVENT, &env,
	        &hello.base) != AG_OK)
		ag_log(ctx, AG_WARN, "HELLO-UNSAID", "no room");
}

/* Hello again and again: a restarted broker knows nobody. */
void
run_tick(struct ag_ctx *ctx)
{
	unsigned poll_ticks = PULL_POLL_MS / TICK_MS;

	ctx->tick_count++;
	ctx->metrics->beat_ms = ag_mono_ms(ctx);
	run_clock(ctx);
	if (ctx->tick_count % HELLO_EVERY_TICKS == 0)
		run_hello(ctx);
	if (ctx->connected && (!ctx->caught_up || ctx->marks_pending ||
	    ctx->resync ||
	    ctx->tick_count % poll_ticks == 0))
		follow_start(ctx);
	commit_if_due(ctx);
	ctx->look_again = ctx->look_again || ag_bus_waiting(ctx->bus);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_tick(arg);
}

/* ---------------------------------------------------------- getting ready */

void
run_caught_up(struct ag_ctx *ctx)
{
	struct ag_trip *trip = ctx->trip;
	ag_err err = AG_OK;

	if (ctx->caught_up)
		return;
	ctx->caught_up = true;
	ctx->trip = NULL;
	if (ctx->actor->ready != NULL)
		err = ctx->actor->ready(ctx->state, ctx);
	if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "READY-FAILED", "error=%s",
		    ag_err_row(err)->name);
		ag_stop(ctx, 1);
	} else if (!ctx->actor->own_readiness) {
		ag_set_ready(ctx, true, NULL);
	}
	ctx->trip = trip;
}

void
run_connected(struct ag_ctx *ctx)
{
	if (ctx->connected)
		return;
	ctx->connected = true;
	line_listen(ctx);
	follow_start(ctx);
}

/* ---------------------------------------------------------------- signals */

static void
on_term(evutil_socket_t sig, short what, void *arg)
{
	struct ag_ctx *ctx = arg;

	(void)sig;
	(void)what;
	if (ctx->draining)
		return;
	ctx->draining = true;
	if (ctx->actor->drain != NULL)
		ctx->actor->drain(ctx->state, ctx);
	else
		ag_stop(ctx, 0);
}

/* Words of the supervisor after boot: `level WORD`, and the actor's own. */
static void
take_word(struct ag_ctx *ctx, const char *word)
{
	if (strncmp(word, "level ", 6) == 0)
		ag_log_turn(word + 6);
	else if (ctx->actor->told != NULL)
		ctx->actor->told(ctx->state, ctx, word);
	else
		ag_log(ctx, AG_WARN, "WORD-UNKNOWN", "%s", word);
	ctx->turned = true;
}

/* The supervisor's end of descriptor 3 is gone: so are we. */
static void
on_boot_fd(evutil_socket_t fd, short what, void *arg)
{
	struct ag_ctx *ctx = arg;
	char bytes[64];
	ssize_t n = ag_boot_hear(fd, bytes, sizeof(bytes));

	(void)what;
	if (n == 0)
		ag_stop(ctx, 0);
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			ctx->word[ctx->word_len] = '\0';
			ctx->word_len = 0;
			take_word(ctx, ctx->word);
		} else if (ctx->word_len < sizeof(ctx->word) - 1) {
			ctx->word[ctx->word_len++] = bytes[i];
		}
	}
}

static struct event *
watch(struct ag_ctx *ctx, int fd, short what, event_callback_fn fn)
{
	struct event *ev = event_new(ctx->base, fd, what | EV_PERSIST, fn, ctx);

	if (ev != NULL && event_add(ev, NULL) != 0) {
		event_free(ev);
		ev = NULL;
	}
	return ev;
}

static ag_err
start_tick(struct ag_ctx *ctx)
{
	unsigned ms = ctx->boot->clock_file == NULL ? TICK_MS : 50;
	struct timeval tv = { .tv_usec = (suseconds_t)ms * 1000 };

	ctx->tick_event = event_new(ctx->base, -1, EV_PERSIST, on_tick, ctx);
	if (ctx->tick_event == NULL || event_add(ctx->tick_event, &tv) != 0)
		return AG_IO;
	run_clock(ctx);
	return AG_OK;
}

static ag_err
connect_bus(struct ag_ctx *ctx)
{
	const Ag__BootRow *self = ctx->boot->self;
	ag_err err;

	if (self->endpoint == NULL || self->token.len != 32)
		return AG_USAGE;
	err = ag_bus_connect(self->endpoint, self->name, self->token.data,
	    QUEUE_MAX, &ctx->bus);
	ag_wipe(self->token.data, self->token.len);
	if (err != AG_OK)
		return err;
	if ((err = line_open_all(ctx)) != AG_OK)
		return err;
	ctx->bus_event = watch(ctx, ag_bus_fd(ctx->bus), EV_READ, on_bus);
	return ctx->bus_event == NULL ? AG_IO : AG_OK;
}

static ag_err
start(struct ag_ctx *ctx, const struct ag_actor *actor, Ag__Boot *boot,
    bool supervised)
{
	ag_err err;

	ctx->supervised = supervised;
	ctx->base = event_base_new();
	if (ctx->base == NULL)
		return AG_NO_MEMORY;
	signal(SIGPIPE, SIG_IGN);
	ctx->term_event = evsignal_new(ctx->base, SIGTERM, on_term, ctx);
	if (ctx->term_event == NULL || evsignal_add(ctx->term_event, NULL) != 0)
		return AG_IO;
	signal(SIGINT, SIG_IGN); /* a terminal's ^C is the supervisor's to hear */
	if (supervised) {
		ctx->boot_event = watch(ctx, AG_BOOT_FD, EV_READ, on_boot_fd);
		if (ctx->boot_event == NULL)
			return AG_IO;
	}
	if ((err = ctx_init(ctx, actor, boot)) != AG_OK ||
	    (err = connect_bus(ctx)) != AG_OK ||
	    (err = start_tick(ctx)) != AG_OK)
		return err;
	return ag_jail_enter(boot->jail);
}

/* Waits no longer than to the next timer; not at all while frames wait, or
 * something that was said to oneself has run and is not flushed yet. */
static int
round_flags(struct ag_ctx *ctx, struct event *wake)
{
	uint64_t next = timer_next_ms(ctx), now = ag_mono_ms(ctx);
	struct timeval tv = { 0 };

	if (ctx->look_again || ctx->run_first != NULL || ctx->turned || next <= now)
		return EVLOOP_ONCE | EVLOOP_NONBLOCK;
	if (next != UINT64_MAX) {
		tv.tv_sec = (time_t)((next - now) / 1000);
		tv.tv_usec = (suseconds_t)((next - now) % 1000) * 1000;
		event_add(wake, &tv);
	}
	return EVLOOP_ONCE;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void
loop(struct ag_ctx *ctx)
{
	struct event *wake = event_new(ctx->base, -1, 0, on_wake, ctx);

	if (wake == NULL)
		return;
	run_hello(ctx);
	while (!ctx->stopping) {
		event_base_loop(ctx->base, round_flags(ctx, wake));
		event_del(wake);
		if (ctx->look_again)
			bus_turn(ctx);
		timer_run(ctx);
		trip_run_queue(ctx);
		if (!ctx->turned)
			continue;
		run_turn_end(ctx);
		/* Sending may have eaten the descriptor's signal. */
		ctx->look_again = ctx->look_again || ag_bus_waiting(ctx->bus);
	}
	event_free(wake);
}

static void
free_event(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

static int
finish(struct ag_ctx *ctx, ag_err err)
{
	int status;

	if (err != AG_OK) {
		ag_log_plain(AG_ERROR, "START-FAILED", "error=%s",
		    ag_err_row(err)->name);
		/* 2: it is what was configured, and will be so again. */
		ctx->exit_status = err == AG_USAGE ? 2 : 1;
	} else if (ctx->exit_status == 0) {
		run_turn_end(ctx);
		if (ag_store_commit(ctx) != AG_OK)
			ctx->exit_status = 1;
	}
	status = ctx->exit_status;
	free_event(&ctx->work_event);
	free_event(&ctx->bus_event);
	free_event(&ctx->tick_event);
	free_event(&ctx->term_event);
	free_event(&ctx->boot_event);
	if (ctx->actor != NULL && ctx->arena != NULL)
		ctx_fini(ctx);
	line_close_all(ctx, LINGER_MS);
	ag_bus_close(&ctx->bus, LINGER_MS);
	if (ctx->base != NULL)
		event_base_free(ctx->base);
	free(ctx);
	return status;
}

static int
run(const struct ag_actor *actor, int fd, bool supervised)
{
	struct ag_ctx *ctx = calloc(1, sizeof(*ctx));
	Ag__Boot *boot = NULL;
	ag_err err;

	if (ctx == NULL)
		return 1;
	ag_jail_early();
	ag_log_open(actor->name, AG_INFO);
	if ((err = ag_boot_read(fd, &boot)) == AG_OK)
		err = ag_secret_init();
	if (err == AG_OK) {
		ag_log_open(boot->self->name, AG_INFO);
		err = start(ctx, actor, boot, supervised);
	}
	if (err == AG_OK) {
		ag_log_least(ag_config_get_str(ctx->config, "log.level", 0));
		loop(ctx);
	}
	return finish(ctx, err);
}

int
ag_main(const struct ag_actor *actor)
{
	return run(actor, AG_BOOT_FD, true);
}

int
ag_main_join(const struct ag_actor *actor, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int status;

	if (fd < 0 || fstat(fd, &st) != 0) {
		fprintf(stderr, "%s: cannot read %s\n", actor->name, file);
		return 2;
	}
	if ((st.st_mode & 077) != 0) {
		fprintf(stderr, "%s: %s may be read by others; chmod 600 it\n",
		    actor->name, file);
		close(fd);
		return 2;
	}
	status = run(actor, fd, false);
	close(fd);
	return status;
}
