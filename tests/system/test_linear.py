# SPDX-License-Identifier: Apache-2.0
"""The check of histories can tell a sound one from one that cannot have been."""
import random

import pytest

from linear import NO_KEY, REFUSED, UNKNOWN, Op, TooMuch, explain, key_step, never, unexplained_keys

CREATED = Op(0, 1, "create", ("Active", 1))

SOUND = {
    "one after the other": [CREATED, Op(2, 3, "rotate", ("Active", 2)), Op(4, 5, "sign", (None, 2))],
    "a reader beside a writer sees the new": [CREATED, Op(2, 9, "rotate", ("Active", 2)), Op(3, 4, "read", ("Active", 2))],
    "or the old": [CREATED, Op(2, 9, "rotate", ("Active", 2)), Op(3, 4, "read", ("Active", 1))],
    "two writers, in the other order": [CREATED, Op(2, 9, "rotate", ("Active", 3)), Op(3, 8, "rotate", ("Active", 2))],
    "one of two loses": [CREATED, Op(2, 9, "compromise", ("Compromised", 1)), Op(3, 8, "deactivate", REFUSED)],
    "unknown, and done": [CREATED, never(2, "rotate"), Op(5, 6, "read", ("Active", 2))],
    "unknown, and not done": [CREATED, never(2, "rotate"), Op(5, 6, "read", ("Active", 1))],
    "unknown, and done late": [CREATED, never(2, "rotate"), Op(5, 6, "read", ("Active", 1)),
                               Op(7, 8, "read", ("Active", 2))],
    "unknown, and it was not made": [never(0, "create"), Op(2, 3, "read", REFUSED)],
    "what pends does not sign": [CREATED, Op(2, 3, "deactivate", ("Deactivated", 1)),
                                 Op(4, 5, "destroy", ("Deactivated", 1)), Op(6, 7, "sign", REFUSED)],
    "nothing": [],
}
UNSOUND = {
    "an acknowledged write is lost": [CREATED, Op(2, 3, "rotate", ("Active", 2)), Op(4, 5, "read", ("Active", 1))],
    "a read goes back": [CREATED, Op(2, 20, "rotate", ("Active", 2)), Op(3, 4, "read", ("Active", 2)),
                         Op(5, 6, "read", ("Active", 1))],
    "two writers get the same version": [CREATED, Op(2, 9, "rotate", ("Active", 2)), Op(3, 8, "rotate", ("Active", 2))],
    "a compromised key signs": [CREATED, Op(2, 3, "compromise", ("Compromised", 1)), Op(4, 5, "sign", (None, 1))],
    "a deactivated key signs": [CREATED, Op(2, 3, "deactivate", ("Deactivated", 1)), Op(4, 5, "sign", (None, 1))],
    "it is made twice": [CREATED, Op(2, 3, "create", ("Active", 1))],
    "it is gone": [CREATED, Op(2, 3, "read", REFUSED)],
    "refused without a reason": [CREATED, Op(2, 3, "rotate", REFUSED)],
    "unknown is done twice": [CREATED, never(2, "rotate"), Op(5, 6, "read", ("Active", 3))],
    "unknown is done before it was asked": [CREATED, Op(2, 3, "read", ("Active", 2)), never(4, "rotate")],
    "unknown is undone": [CREATED, never(2, "rotate"), Op(5, 6, "read", ("Active", 2)), Op(7, 8, "read", ("Active", 1))],
}


@pytest.mark.parametrize("name", sorted(SOUND))
def test_a_sound_history_is_explained(name):
    order = explain(SOUND[name], NO_KEY, key_step)
    assert order is not None
    # It is an order of the history: nobody is answered before somebody later was asked.
    for i, op in enumerate(order):
        assert all(op.start <= later.end for later in order[i:])
    assert {op for op in SOUND[name] if op.result is not UNKNOWN} <= set(order)


@pytest.mark.parametrize("name", sorted(UNSOUND))
def test_what_cannot_have_been_is_found(name):
    assert explain(UNSOUND[name], NO_KEY, key_step) is None


def test_each_key_stands_by_itself():
    assert unexplained_keys({"a": SOUND["or the old"], "b": UNSOUND["it is gone"], "c": []}) == ["b"]


def test_no_verdict_without_a_search():
    crowd = [Op(0, 1, "create", ("Active", 1))] + [never(2, "rotate") for _ in range(30)] + \
        [Op(5, 6, "read", ("Active", 99))]
    assert explain(crowd, NO_KEY, key_step) is None, "those who ask the same are not told apart"
    with pytest.raises(TooMuch):
        explain(crowd, NO_KEY, key_step, configurations_max=20)


def simulated(draw, clients, steps):
    """What a key that is right would answer to clients who ask at random times."""
    now, state, ops, busy = 0.0, NO_KEY, [], [0.0] * clients
    for _ in range(steps):
        who = min(range(clients), key=lambda c: busy[c])
        start = max(now, busy[who]) + draw.random()
        done = start + draw.random()  # the moment at which it counts
        ops.append([start, done, done + draw.random() * 3, draw.choice(
            ["create", "read", "sign", "rotate", "rotate", "activate", "compromise"] if draw.random() < 0.3 else
            ["read", "sign", "rotate"])])
        busy[who] = ops[-1][2]
    out = []
    for start, done, end, call in sorted(ops, key=lambda op: op[1]):
        for result in [REFUSED, *((s, v) for s in (None, "Active", "Compromised") for v in range(1, steps))]:
            after = key_step(state, call, result)
            if after:
                state = after[0]
                out.append(never(start, call) if draw.random() < 0.1 else Op(start, end, call, result))
                break
        else:
            raise AssertionError((state, call))
    return out


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_of_a_right_key(seed):
    draw = random.Random(seed)
    ops = simulated(draw, 4, 30)
    assert explain(ops, NO_KEY, key_step) is not None
    # And one answer that says another version than any order gives.
    told = [i for i, op in enumerate(ops) if isinstance(op.result, tuple)]
    if told:
        i = draw.choice(told)
        ops[i] = ops[i]._replace(result=(ops[i].result[0], 1000))
        assert explain(ops, NO_KEY, key_step) is None
