# SPDX-License-Identifier: Apache-2.0
"""The simulated month (`make detection`), short: floors that only a mistake can miss, and the same for the same seed."""
import json
import os
import subprocess

import pytest

from conftest import BUILD

PROGRAM = os.path.join(BUILD, "bench", "detection")


def run(*words):
    done = subprocess.run([PROGRAM] + list(words), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def month():
    return json.loads(run("--agents", "20", "--seed", "7", "--json"))


def family(month, name):
    found = [a for a in month["attacks"] if a["family"] == name and a["victims"] > 0]
    assert len(found) == 3, name
    return found


def test_what_is_refused_is_found_at_once(month):
    for name in ("honey key", "scope probing"):
        for attack in family(month, name):
            assert attack["recall"] == attack["budget_recall"] == 1.0, attack
            assert attack["median_s"] == 0 and attack["keys"]["default"] == 0, attack


def test_ordinary_days_are_quiet(month):
    """N04: fewer than one alert in a thousand requests, drift included; and the default rules stop nobody."""
    assert month["false_positive_rate"] < 0.001
    assert month["alerts_per_agent_week"] < 1.5
    assert month["false_stops"] == 0


@pytest.mark.parametrize("name,floor", [("new address", 0.9), ("off hours", 0.8), ("new operation", 0.8),
                                        ("stolen credential", 0.9), ("key-set widening", 0.9),
                                        ("poisoning: denied", 0.9)])
def test_one_oddity_is_found(month, name, floor):
    for attack in family(month, name):
        assert attack["recall"] >= floor, attack


def test_a_burst_ends_early_under_strict_rules(month):
    worst = family(month, "burst over keys")[2]
    assert worst["recall"] >= 0.9 and worst["keys"]["none"] == 500
    assert worst["keys"]["strict"] <= 100


def test_nobody_claims_what_cannot_be_seen(month):
    """One per cent more of the ordinary is the ordinary."""
    assert family(month, "drip of volume")[0]["recall"] < 0.2


def test_the_seed_decides():
    one, two, other = (run("--agents", "4", "--seed", seed) for seed in ("1", "1", "2"))
    assert one == two != other


@pytest.mark.parametrize("words", [["--agents", "0"], ["--agents", "x"], ["--seed"], ["--bad"],
                                   ["--config", "/nonexistent"]])
def test_bad_options(words):
    assert subprocess.run([PROGRAM] + words, capture_output=True, timeout=60).returncode == 2
