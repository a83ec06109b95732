#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Decisions a second at 1 to 10,000 policies, here and by the reference in WebAssembly, in one run on one machine:

  bench/cedar.py BUILD      (the reference comes from npm, as for make interop)
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    build = os.environ["AEGIS_BUILD"] = os.path.abspath(sys.argv[1])
    sys.path[:0] = [os.path.join(ROOT, "tests", part) for part in ("system", "interop")]
    import npm
    npm.fetch()
    ours = subprocess.run([os.path.join(build, "bench", "cedar_decide")], capture_output=True, text=True, check=True)
    theirs = subprocess.run([npm.NODE, os.path.join(ROOT, "bench", "cedar.js")], capture_output=True, text=True, check=True,
                            env=dict(os.environ, NODE_PATH=os.path.join(npm.FOLDER, "node_modules")))
    here = dict((int(n), float(us)) for n, us in re.findall(r"(\d+) policies: ([\d.]+) us", ours.stderr))
    there = dict((int(n), float(us)) for n, us in (line.split() for line in theirs.stdout.splitlines()))
    print("| policies | that can match | µs | decisions/s | cedar-wasm: µs | decisions/s |\n|---:|---:|---:|---:|---:|---:|")
    for n in sorted(here):
        print("| %s | %d | %.2f | %s | %.0f | %s |" % (
            format(n, ","), min(n, 10), here[n], format(round(1e6 / here[n], -4), ",.0f"), there[n],
            format(round(1e6 / there[n]), ",.0f")))


main()
