# SPDX-License-Identifier: Apache-2.0
"""What is generated is valid; what is broken is refused with file, place and what would be right."""
import os
import subprocess

import pytest

from conftest import BUILD

ALL = "permit (principal, action, resource);\n"
AEGIS = os.path.join(BUILD, "aegis")


def run(*words):
    return subprocess.run([AEGIS] + [str(w) for w in words], capture_output=True, text=True, timeout=120)


def good(*words):
    done = run(*words)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("size", ["basic", "approvals", "full"])
def test_samples_are_valid(tmp_path, size):
    house = tmp_path / "house"
    written = good("policy", "sample", size, house)
    assert sorted(written.split()) == sorted(str(f) for f in house.rglob("*") if f.is_file())
    assert "nothing found" in good("policy", "lint", house / "policies")
    assert "valid" in good("policy", "validate", house / "policies")
    assert "0 not as expected" in good("policy", "test", house / "tests.json")
    good("policy", "format", house / "policies", "--check")
    assert "ok" in good("config", "check", house / "aegis.yaml")
    again = run("policy", "sample", size, house)  # nobody's work is written over
    assert again.returncode == 2 and "a new folder is expected" in again.stderr


def test_sizes_are_three(tmp_path):
    done = run("policy", "sample", "huge", tmp_path / "x")
    assert done.returncode == 2 and "basic, approvals or full" in done.stderr
    assert not (tmp_path / "x").exists()


# kind of file, its text, where it is wrong, what would be right
BROKEN = [
    ("cedar", "permit (principal, action resource);", "1:27", "expected `,`"),
    ("cedar", ALL + "permit (principal, action, resource)", "2:37", "expected"),
    ("cedar", ALL[:-2] + "\nwhen { principal.rol == \"admin\" };", "2:18", "has no attribute `rol`"),
    ("cedar", "permit (principal, action == Aegis::Action::\"key.sing\", resource);", "1:20", "no action `key.sing`"),
    ("cedar", "permit (principal == User::\"x\", action, resource);", "1:9", "User"),
    ("cedar", "@stepup(\"totp\") " + ALL, "1:1", "known are @id"),
    ("cedar", "@step_up(\"sms\") " + ALL, "1:1", "@step_up is \"totp\""),
    ("cedar", "@approval(\"leads, quorum 11\") " + ALL, "1:1", "1 to 10 people"),
    ("cedar", "@timeout(\"1h\") " + ALL, "1:1", "\"200ms\" or \"2s\""),
    ("cedar", "@constraint(\"speed\") forbid (principal, action, resource);", "1:1", "\"concurrency\""),
    ("cedar", "@require_session forbid (principal, action, resource);", "1:1", "stands at a permit"),
    ("cedar", "@id(\"A b\") " + ALL, "1:1", "[a-z0-9]"),
    ("cedar", "permit (principal == ?principal, action, resource);", "0:0", "write the name in their place"),
    ("cedar", "", "0:0", "permit (principal, action, resource);"),
    ("rules", "version: 2\nrules: []\n", "1", "1"),
    ("rules", "version: 1\nrules:\n  - name: a\n    effect: maybe\n    conditions: {any: true}\n", "4", "allow"),
    ("rules", "version: 1\nrules:\n  - name: a\n    effect: deny\n    conditions: {}\n", "", "any: true"),
    ("rules", "version: 1\nrules:\n  - name: a\n    effect: deny\n    conditions: {plane: moon}\n", "5", "rest"),
    ("config", "environment: staging\n", "1", "dev"),
    ("config", "environment: dev\nlimits: {rules: [{kind: robot, rate: 1}]}\n", "2", "agent"),
    ("config", "break_glass: {ttl_max_s: 999999}\n", "1", "14400"),
    ("config", "opa: {hook_url: \"https://x\"}\n", "1", "break_glass.destructive"),
    ("config", "aprovals: {}\n", "1", "aprovals"),
    ("tests", "{\"cases\": [{\"name\": \"n\", \"policies\": {\"p\": \"permit\"}, \"requests\": [{}]}]}", "", "p:1:7"),
]
VERBS = {"cedar": ("policy", "validate"), "rules": ("policy", "import"), "config": ("config", "check"),
         "tests": ("policy", "test")}


@pytest.mark.parametrize("row", range(len(BROKEN)))
def test_what_is_broken_is_said(tmp_path, row):
    kind, text, place, right = BROKEN[row]
    path = tmp_path / {"cedar": "p.cedar", "tests": "t.json"}.get(kind, "c.yaml")
    path.write_text(text)
    done = run(*VERBS[kind], path)
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), done
    assert str(path) + (":" + place if place else "") in said and right in said, said
