# SPDX-License-Identifier: Apache-2.0
"""make demo's script does what it says, on a built tree, in under 30 s."""
import os
import re
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, SANITIZED

LAST = re.compile(r"^demo: 49 signed, 1 refused, revoked in \d+\.\d ms, 0 succeeded after, audit verified \d+$")


@pytest.mark.parametrize("plane", ["rest", "mcp"])
def test_demo_ends_with_its_line(plane):
    begin = time.monotonic()
    done = subprocess.run([os.path.join(ROOT, "examples", "demo.sh"), BUILD], capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, NO_COLOR="1", PLANE=plane))
    took = time.monotonic() - begin
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = done.stdout.splitlines()
    assert LAST.match(lines[-1]), lines[-1]
    assert SANITIZED or took < 30, "it took %.1f s" % took
    timeline = [line for line in lines if "detection.scope_violation" in line or "response.revoke_agent" in line]
    assert len(timeline) >= 2, "detection and revocation are events of their own"


def test_demo_leaves_nothing_and_says_so():
    """A demo that cannot start ends non-zero, with a message, and leaves nothing."""
    done = subprocess.run([os.path.join(ROOT, "examples", "demo.sh"), BUILD], capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, NO_COLOR="1", AEGIS_TOKEN="x", TMPDIR="/nonexistent"))
    assert done.returncode != 0
    assert done.stderr.strip()


def test_demo_approvals(tmp_path):
    """aegis demo approvals: asked once, agreed to with a second factor, good once; and nothing is left."""
    env = dict(os.environ, NO_COLOR="1", TMPDIR=str(tmp_path))
    done = subprocess.run([os.path.join(BUILD, "aegis"), "demo", "approvals"], capture_output=True, text=True,
                          timeout=120, env=env)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = done.stdout.splitlines()
    assert lines[-1] == "demo: asked once, approved by alice, 1 succeeded, 1 refused"
    assert any("ApprovalRequired/pending" in line for line in lines)
    assert any("ApprovalRequired/used" in line for line in lines)
    assert "| reason: month end" in done.stdout
    assert os.listdir(tmp_path) == []
