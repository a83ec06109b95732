/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One JSON line per event on stderr, in one write(2), so that the lines of
 * many processes do not mix and nothing that a peer sent can begin a line of
 * its own. The time is the machine's: the test clock does not move the log.
 */
#include "engine.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES_MAX = 4096,
	TEXT_BYTES_MAX = 2048, /* of the message, before escaping */
	TAIL_BYTES = 16,       /* what must still fit: the cut mark, quote, brace */
	PROCESS_BYTES_MAX = 64,
	EVENT_BYTES_MAX = 64,
	KINDS_MAX = 32, /* counted apart */
	KIND_PER_S_MAX = 50,
};

static struct {
	char process[PROCESS_BYTES_MAX];
	enum ag_level least;
} self = { "aegis", AG_INFO };

static const char *const level_names[] = {
	[AG_DEBUG] = "debug",
	[AG_INFO] = "info",
	[AG_WARN] = "warn",
	[AG_ERROR] = "error",
};

struct line {
	size_t len;
	bool cut;
	char text[LINE_BYTES_MAX];
};

void
ag_log_open(const char *name, enum ag_level least)
{
	size_t n = strnlen(name, PROCESS_BYTES_MAX - 1);

	memcpy(self.process, name, n);
	self.process[n] = '\0';
	self.least = least;
}

void
ag_log_least(const char *word)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(level_names[i], word) == 0)
			self.least = (enum ag_level)i;
}

static void
add(struct line *line, const char *text, size_t n)
{
	if (line->cut || n > sizeof(line->text) - TAIL_BYTES - line->len) {
		line->cut = true;
		return;
	}
	memcpy(line->text + line->len, text, n);
	line->len += n;
}

/* The length of the well-formed UTF-8 character at s, 0 if it is none. */
static size_t
sequence(const uint8_t *s, size_t left)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 :
	    (*s & 0xf0) == 0xe0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong, surrogates, past U+10FFFF: parsers refuse the whole line. */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* The inside of a JSON string: control characters (C1 and DEL, too, which
 * terminals obey) escaped, bytes that are no UTF-8 replaced. */
static void
add_escaped(struct line *line, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *s = (const uint8_t *)text, *end = s + len;
	char code[7] = "\\u00xx";
	size_t n;

	for (; s < end; s += n) {
		if ((n = sequence(s, (size_t)(end - s))) == 0) {
			add(line, "\\ufffd", 6);
			n = 1;
		} else if (*s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\' ||
		    (*s == 0xc2 && s[1] < 0xa0)) {
			uint8_t c = n == 2 ? s[1] : *s;

			code[4] = hex[c >> 4];
			code[5] = hex[c & 15];
			add(line, code, 6);
		} else {
			add(line, (const char *)s, n);
		}
	}
}

static void
add_member(struct line *line, const char *name, const char *value, size_t len)
{
	add(line, line->len == 0 ? "{\"" : ",\"", 2);
	add(line, name, strlen(name));
	add(line, "\":\"", 3);
	add_escaped(line, value, len);
	add(line, "\"", 1);
}

/*
 * What a peer does wrong is said, but not a million times: of each kind of
 * warning that is about no request of its own, so many a second. The next one
 * says how many were not said. Other threads may log, too: a look that is taken
 * meanwhile bounds nothing.
 */
static struct kind {
	uint32_t hash;
	time_t second;
	unsigned said;
	uint64_t unsaid;
} kinds[KINDS_MAX];
static atomic_flag kinds_taken = ATOMIC_FLAG_INIT;

/* Its place, or that of the one that was said longest ago. */
static struct kind *
kind_of(const char *event)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	struct kind *oldest = &kinds[0];

	for (const char *p = event; *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	for (unsigned i = 0; i < KINDS_MAX; i++) {
		if (kinds[i].hash == hash)
			return &kinds[i];
		if (kinds[i].second < oldest->second)
			oldest = &kinds[i];
	}
	*oldest = (struct kind){ .hash = hash };
	return oldest;
}

static bool
may_say(const char *event, time_t now, uint64_t *unsaid)
{
	struct kind *kind;
	bool may;

	if (atomic_flag_test_and_set(&kinds_taken))
		return true;
	kind = kind_of(event);
	if (kind->second != now) {
		kind->second = now;
		kind->said = 0;
	}
	may = kind->said < KIND_PER_S_MAX;
	if (may) {
		kind->said++;
		*unsaid = kind->unsaid;
		kind->unsaid = 0;
	} else {
		kind->unsaid++;
	}
	atomic_flag_clear(&kinds_taken);
	return may;
}

static void
put(const struct line *line)
{
	size_t done = 0;
	ssize_t n;

	/* As a rule one write; what a full pipe did not take follows. A log that
	 * nobody reads any more is no reason to stop. */
	while (done < line->len) {
		n = write(STDERR_FILENO, line->text + done, line->len - done);
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

/* The last member: what does not fit is cut off, and the line says so. */
static void
add_message(struct line *line, const char *fmt, va_list ap)
{
	char text[TEXT_BYTES_MAX];
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	bool cut = n >= (int)sizeof(text);

	if (n < 0)
		return;
	add(line, ",\"message\":\"", 12);
	add_escaped(line, text, cut ? sizeof(text) - 1 : (size_t)n);
	cut = cut || line->cut;
	line->cut = false;
	line->len += (size_t)sprintf(line->text + line->len, "%s\"",
	    cut ? "[cut]" : "");
}

void
ag_log_line(enum ag_level level, const char *event, const uint8_t *request_id,
    const char *fmt, va_list ap)
{
	struct line line;
	char at[AG_TIME_TEXT], id[AG_UUID_TEXT], count[24];
	struct timespec now;
	uint64_t unsaid = 0;

	if (level < self.least)
		return;
	line.len = 0;
	line.cut = false;
	clock_gettime(CLOCK_REALTIME, &now);
	if (level >= AG_WARN && request_id == NULL &&
	    !may_say(event, now.tv_sec, &unsaid))
		return;
	ag_time_text((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, at);
	add_member(&line, "at", at, strlen(at));
	add_member(&line, "level", level_names[level], strlen(level_names[level]));
	add_member(&line, "process", self.process, strlen(self.process));
	add_member(&line, "event", event, strnlen(event, EVENT_BYTES_MAX));
	if (request_id != NULL) {
		ag_uuid_text(request_id, id);
		add_member(&line, "request_id", id, strlen(id));
	}
	if (unsaid > 0) {
		snprintf(count, sizeof(count), "%llu", (unsigned long long)unsaid);
		add_member(&line, "unsaid", count, strlen(count));
	}
	add_message(&line, fmt, ap);
	line.len += (size_t)sprintf(line.text + line.len, "}\n");
	put(&line);
}

void
ag_log_turn(const char *word)
{
	enum ag_level old = self.least, now;

	ag_log_least(word);
	now = self.least;
	if (old < now)
		self.least = old;
	ag_log_plain(AG_INFO, "LOG-LEVEL", "level=%s", level_names[now]);
	self.least = now;
}

void
ag_log_plain(enum ag_level level, const char *event, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ag_log_line(level, event, NULL, fmt, ap);
	va_end(ap);
}
