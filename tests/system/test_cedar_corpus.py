# SPDX-License-Identifier: Apache-2.0
"""The official Cedar corpus: every decision, every reason, every error, every
verdict of the validator, as the reference has them. It is not part of this
tree; without it the test is skipped, and says so.
"""
import os
import re
import subprocess
import tarfile

import pytest

from conftest import BUILD, ROOT

CORPUS = os.environ.get("CEDAR_CORPUS", os.path.join(ROOT, "..", "shared", "vectors", "cedar", "corpus.tar.xz"))
PROGRAM = os.path.join(BUILD, "tests", "unit", "policy", "cedar", "cedar_corpus")
# What the corpus has: a case that is not run is a failure too.
WANT = {"decision": 31656, "reasons": 31656, "errors": 31656, "validation": 3957, "request": 31656, "entities": 3957}


@pytest.mark.skipif(not os.path.exists(CORPUS), reason="the corpus is not there (CEDAR_CORPUS=…/corpus.tar.xz)")
def test_the_corpus_is_decided_as_by_the_reference():
    files = {}
    with tarfile.open(CORPUS) as tar:
        for member in tar:
            if member.isfile():
                files[os.path.basename(member.name)] = tar.extractfile(member).read()
    stream = []
    for name in sorted(name[:-6] for name in files if name.endswith(".cedar")):
        parts = [files[name + suffix] for suffix in (".cedarschema", ".cedar", ".entities.json", ".json")]
        stream.append(("%s %s\n" % (name, " ".join(str(len(part)) for part in parts))).encode())
        stream += parts
    done = subprocess.run([PROGRAM], input=b"".join(stream), capture_output=True, timeout=120)
    said = done.stdout.decode()
    counts = {what: (int(right), int(wrong)) for what, right, wrong in
              re.findall(r"^= (\w+) (\d+) (\d+)$", said, re.M)}
    assert done.returncode == 0, said[-4000:] + done.stderr.decode()[-2000:]
    assert counts == {what: (count, 0) for what, count in WANT.items()}
