/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which name habits are kept, and what counts as one place: for risk and
 * the detectors alike. Pure.
 */
#ifndef ACTORS_HABIT_H
#define ACTORS_HABIT_H

#include <aegis/aegis.h>

/*
 * A person and a service are themselves. An agent lives for a day at most; what
 * has habits is its line: the root of its chain and the labels from there down
 * to it, so that tomorrow's `nightly-report` is known by what today's did.
 * below: one more label, of an agent that the last of the chain has; or NULL.
 * out: the actor's id, or "lin_" and 32 hex digits; empty: no name is possible.
 */
void habit_line(const char *actor_id, Ag__Link *const *chain, size_t count,
    const char *below, char out[AG_ID_SIZE]);

/* Hash of the network part of an address in text: /24 for IPv4 (also inside
 * IPv6), /48 for IPv6; other text as it is. 0: no address. */
uint32_t habit_network(const char *address);
/* The same network in words, such as 192.0.2.0/24. */
void habit_network_text(const char *address, char *out, size_t size);

#endif
