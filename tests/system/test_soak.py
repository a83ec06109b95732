# SPDX-License-Identifier: Apache-2.0
"""What make soak concludes from what it saw (the soak itself takes half an hour)."""
import copy
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
from soak import judge  # noqa: E402

EVEN = [{"rate": 5000 + i % 3, "p50_ms": 1.0, "p99_ms": 4.0 + i % 2, "bad": 0, "n": 50000,
         "rss_kb": {"iam": 9000 + 10 * (i % 5), "audit": 12000}, "descriptors": {"iam": 20, "audit": 22 + i % 2}}
        for i in range(50)]


def bent(change):
    slices = copy.deepcopy(EVEN)
    for i, row in enumerate(slices):
        change(i, row)
    return slices


def leak(i, row):
    row["rss_kb"]["iam"] += 200 * i


def descriptors(i, row):
    row["descriptors"]["audit"] += i // 4


def slower(i, row):
    row["p99_ms"] += i


def too_little(i, row):
    row["rate"] = 3000


def errors(i, row):
    row["bad"] = 100


def one_stall(i, row):
    if i == 47:
        row.update(p99_ms=400.0, rate=2000)


def warm_up(i, row):
    if i < 10:
        row["rss_kb"]["iam"] = 1000 + 800 * i


@pytest.mark.parametrize("change, word", [(leak, "iam grew"), (descriptors, "audit has"), (slower, "p99 went"),
                                          (too_little, "requests/s"), (errors, "errors")])
def test_what_is_not_even_is_named(change, word):
    wrong = judge(bent(change), 5000)
    assert len(wrong) == 1 and word in wrong[0], wrong


@pytest.mark.parametrize("change", [lambda i, row: None, one_stall, warm_up])
def test_what_is_even_is_not(change):
    assert judge(bent(change), 5000) == []


def test_too_short_is_no_verdict():
    assert "too short" in judge(EVEN[:4], 5000)[0]
