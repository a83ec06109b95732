# SPDX-License-Identifier: Apache-2.0
"""Is there an order of these operations, one after the other, that explains every answer?

The search is Wing and Gong's (Testing and Verifying Concurrent Objects, JPDC 17, 1993): whoever was asked before
any answer came that is not yet explained may be next. Configurations that were met are not searched again (Lowe,
Testing for Linearizability, CCPE 29, 2017), what changes nothing is
explained as soon as it can be, of the unanswered that ask the same the oldest goes first, and each key's history stands by itself, which is sound because a key
is an object of its own (P-compositionality: Horn and Kroening, Faster Linearizability Checking via
P-Compositionality, FORTE 2015).

An operation whose answer never came may have been done at any time after it was asked, or never.
"""
import collections
import math

UNKNOWN = object()  # the result of an operation that nobody knows the outcome of
Op = collections.namedtuple("Op", "start end call result")
Op.__doc__ = "start, end: when it was asked and answered (math.inf: never); call, result: the model's to read."


class TooMuch(Exception):
    """More configurations than anybody would search; nothing is known."""


def _next(ops, done, certain, state, step):
    """Who may come next here: pairs of an operation's place and the state after it."""
    # Nobody comes before what was answered when he was asked.
    horizon = min(op.end for i, op in enumerate(ops) if not done >> i & 1 and certain >> i & 1)
    found, calls = [], set()
    for i, op in enumerate(ops):
        if op.start > horizon:
            break
        if done >> i & 1:
            continue
        after = step(state, op.call, op.result)
        if certain >> i & 1:
            if state in after:  # it changes nothing: if any order is right, one with it here is
                return [(i, state)]
        elif op.call in calls:  # nobody can tell it from the one before: that one goes first
            continue
        else:
            calls.add(op.call)
        found += [(i, there) for there in after if there != state]
    return found


def explain(ops, first, step, configurations_max=500000):
    """A list of operations in an order that the model allows, or None. step(state, call, result) gives the states
    that the call may lead to when it has this result; none if it cannot have it."""
    ops = sorted(ops, key=lambda op: (op.start, op.end))
    certain = sum(1 << i for i, op in enumerate(ops) if op.result is not UNKNOWN)
    seen, stack = {(0, first)}, [(0, first, None)]
    while stack:
        done, state, trail = stack.pop()
        if done & certain == certain:
            order = []
            while trail is not None:
                i, trail = trail
                order.append(ops[i])
            return order[::-1]
        for i, after in _next(ops, done, certain, state, step):
            there = (done | 1 << i, after)
            if there in seen:
                continue
            seen.add(there)
            if len(seen) > configurations_max:
                raise TooMuch("%d operations" % len(ops))
            stack.append((*there, (i, trail)))
    return None


def unexplained(histories, first, step):
    """The names of those histories (name → operations) that no order explains."""
    return [name for name, ops in histories.items() if explain(ops, first, step) is None]


# ------------------------------------------------------------------- a key's life

# (exists, state, version, pending): what answers tell of one key.
NO_KEY = (False, None, 0, False)
Key = collections.namedtuple("Key", "exists state version pending")
REFUSED = "refused"
# What may be asked in which state, for a key whose destruction is not pending (docs: the key's life).
LEGAL = {"activate": {"PreActive"}, "deactivate": {"Active"}, "rotate": {"Active"}, "sign": {"Active"},
         "compromise": {"PreActive", "Active", "Deactivated", "Destroyed"},
         "destroy": {"PreActive", "Deactivated", "Compromised"}}
TO = {"activate": "Active", "deactivate": "Deactivated", "compromise": "Compromised"}


def effect(key, call):
    """The key after a call that is legal."""
    if call in TO:
        return key._replace(state=TO[call])
    if call == "rotate":
        return key._replace(version=key.version + 1)
    return key._replace(pending=True) if call == "destroy" else key


def is_legal(key, call):
    return key.exists and key.state in LEGAL[call] and (not key.pending or call == "compromise")


def key_step(state, call, result):
    """call: create, activate, deactivate, rotate, compromise, destroy (with a window that outlives the test), sign,
    read. result: REFUSED, UNKNOWN, or (state, version) as the answer says it; a signature says (None, version)."""
    key = Key(*state)
    if call == "create":
        made = Key(True, "Active", 1, False)
        if result is UNKNOWN:
            return [tuple(key)] if key.exists else [tuple(made), tuple(key)]
        if result == REFUSED:
            return [tuple(key)] if key.exists else []
        return [tuple(made)] if not key.exists and result == ("Active", 1) else []
    if call == "read":
        if result is UNKNOWN or (result == REFUSED and not key.exists):
            return [tuple(key)]
        return [tuple(key)] if key.exists and result == (key.state, key.version) else []
    legal = is_legal(key, call)
    if result is UNKNOWN:
        return [tuple(effect(key, call))] if legal else [tuple(key)]
    if result == REFUSED:
        return [] if legal else [tuple(key)]
    after = effect(key, call)
    told = (None if call == "sign" else after.state, after.version)
    return [tuple(after)] if legal and result == told else []


def unexplained_keys(histories):
    return unexplained(histories, NO_KEY, key_step)


def never(start, call):
    return Op(start, math.inf, call, UNKNOWN)
