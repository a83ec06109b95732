# SPDX-License-Identifier: Apache-2.0
"""What the programs are made of (X10): scripts/sbom. That two builds are one is scripts/reproducible (make supply)."""
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT, SANITIZED

pytestmark = [pytest.mark.skipif(SANITIZED or "coverage" in os.path.basename(os.path.abspath(BUILD)),
                                 reason="an instrumented build is linked with more"),
              pytest.mark.skipif(not os.path.exists("/usr/share/doc/libc6/copyright"),
                                 reason="this machine's packages were installed without their licences")]


@pytest.fixture(scope="module")
def sbom():
    loader = importlib.machinery.SourceFileLoader("sbom", os.path.join(ROOT, "scripts", "sbom"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("sbom", loader))
    loader.exec_module(module)
    return module


def of_purpose(word):
    text = open(os.path.join(ROOT, "scripts", "deps.sh")).read()
    return re.search(r"\[%s\]=\"(.*?)\"" % word, text, re.S).group(1).split()


def test_every_library_has_a_licence_and_is_in_the_image(tmp_path):
    done = subprocess.run([os.path.join(ROOT, "scripts", "sbom"), BUILD, "--out", str(tmp_path / "bom.json")],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    made = json.load(open(tmp_path / "bom.json"))
    assert made["bomFormat"] == "CycloneDX"
    own = [c for c in made["components"] if "hashes" in c]
    libraries = dict((c["name"], c) for c in made["components"] if "purl" in c)
    assert "aegis" in [c["name"] for c in own] and "libaegis-actor.so" in str(own)
    assert {"libc6", "libzmq5", "libssl3", "libprotobuf-c1"} <= set(libraries)
    for name, library in libraries.items():
        assert library["licenses"] and re.fullmatch(r"\d\S*", library["version"]), name
    assert sorted(set(libraries) - {"libc6"} - set(of_purpose("image"))) == [], "the image lacks these"


def test_what_may_not_be_linked_is_named(sbom, monkeypatch):
    alone = [os.path.join(BUILD, "aegis-policies")]
    monkeypatch.setattr(sbom, "programs", lambda build: alone)
    assert sbom.bill(BUILD)[1] == []
    monkeypatch.setattr(sbom, "licence_of", lambda package: "GPL-3+" if package.startswith("libc6") else "Expat")
    (complaint,) = sbom.bill(BUILD)[1]
    assert complaint.startswith("libc6") and "GPL-3+" in complaint
    monkeypatch.setattr(sbom, "licence_of", lambda package: None)
    assert all("not in the package's data" in c for c in sbom.bill(BUILD)[1]) and sbom.bill(BUILD)[1]


def test_a_library_of_nobodys_is_named(sbom, monkeypatch, tmp_path):
    stranger = str(tmp_path / "libc.so.6")
    shutil.copy(sbom.places([os.path.join(BUILD, "aegis-policies")])["libc.so.6"], stranger)
    monkeypatch.setattr(sbom, "programs", lambda build: [os.path.join(BUILD, "aegis-policies")])
    monkeypatch.setattr(sbom, "places", lambda files: {"libc.so.6": stranger})
    complaints = sbom.bill(BUILD)[1]
    assert "libc.so.6: is of no package" in complaints
