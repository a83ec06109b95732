# SPDX-License-Identifier: Apache-2.0
"""testssl.sh looks at a plane's TLS: no vulnerability, TLS 1.3 alone, and none but the suites that are wanted."""
import json
import os
import re
import subprocess

import pytest

from conftest import CONFIG, fresh_fleet  # noqa: F401
from test_tls import init

# True of any certificate by an authority of one's own, which has no place on the net to ask at.
OWN_AUTHORITY = {"cert_revocation", "DNS_CAArecord"}
SUITES = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
VULNERABLE = {"heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "CRIME_TLS", "BREACH", "POODLE_SSL",
              "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4"}


@pytest.fixture
def found(fresh_fleet, tmp_path):  # noqa: F811
    """What testssl.sh says: name → (severity, finding)."""
    init(tmp_path / "tls", "localhost", "127.0.0.1")
    fleet = fresh_fleet(dict(CONFIG, rest={"tls": {"certificate_file": str(tmp_path / "tls/server.pem"),
                                                   "key_file": str(tmp_path / "tls/server.key")}}))
    told = tmp_path / "told.json"
    done = subprocess.run(["testssl", "--quiet", "--warnings", "off", "--color", "0", "-p", "-s", "-f", "-P", "-S", "-U",
                           "--add-ca", str(tmp_path / "tls/ca.pem"), "--jsonfile", str(told),
                           fleet.url.replace("https://", "")], capture_output=True, text=True, timeout=900,
                          env=dict(os.environ, TERM="dumb"))
    assert told.exists(), done.stdout + done.stderr
    return dict((row["id"], (row["severity"], row["finding"])) for row in json.loads(told.read_text()))


def test_a_plane(found):
    bad = {name: said for name, said in found.items() if said[0] not in ("OK", "INFO") and name not in OWN_AUTHORITY}
    assert not bad, bad
    assert VULNERABLE <= set(found), VULNERABLE - set(found)
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"):
        assert found[old][1].startswith("not offered"), (old, found[old])
    assert found["TLS1_3"][1].startswith("offered")
    suites = set(re.findall(r"\bTLS_[A-Z0-9_]+\b", found["cipher_order_TLSv1.3"][1] + found["cipher_negotiated"][1]))
    assert suites and suites <= SUITES, suites
