#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of the code that decides: each comparison, boolean operator,
negation, returned truth and small constant is bent, one at a time, in a copy;
the unit tests of that file are linked with the copy and must fail.

  tests/mutation/run.py BUILD [FILE…]

A survivor is a decision that no test looks at, or a change that changes nothing
(a comment "mutation: alike" on the line says so, and why). The tree is not touched.
"""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

# What is bent, and the tests that must notice: the first that fails is enough.
FILES = {
    "policy/scope.c": ["policy/scope_test"],
    "policy/roles.c": ["policy/scope_test", "actors/iam_roles_test", "actors/iam_station_test",
                       "actors/iam_principals_test"],
    "policy/weigh.c": ["actors/risk_score_test", "actors/habit_test", "actors/risk_test"],
    "actors/iam/check.c": ["actors/iam_station_test", "actors/iam_agents_test", "actors/iam_roles_test",
                           "actors/iam_limits_test"],
    "actors/keys/state.c": ["actors/keys_state_test", "actors/keys_life_test", "actors/keys_use_test"],
    "actors/risk/score.c": ["actors/risk_score_test", "actors/habit_test", "actors/risk_test"],
}
TEST_S = 20
# (pattern, what it becomes): applied to each place of a line by itself.
BENDS = [
    (r"==", "!="), (r"!=", "=="), (r"<=", "<"), (r">=", ">"), (r"(?<![-<>=])<(?![<=])", "<="),
    (r"(?<![-<>=])>(?![>=])", ">="), (r"&&", "||"), (r"\|\|", "&&"), (r"!(?=[a-z(])", ""),
    (r"\breturn true\b", "return false"), (r"\breturn false\b", "return true"),
    (r"(?<![\w.])0(?![\w.])", "1"), (r"(?<![\w.])1(?![\w.])", "2"),
]


def code_lines(text):
    """Line numbers of code: no comments, includes, declarations of limits or tables of names."""
    inside = False
    for n, line in enumerate(text.split("\n")):
        bare = line.strip()
        if inside or bare.startswith("/*") or bare.startswith("*"):
            inside = "*/" not in bare and (inside or bare.startswith("/*"))
            continue
        if bare and not bare.startswith(("#", "//", "static_assert", "_Static_assert")):
            yield n, re.sub(r"/\*.*?\*/", lambda m: " " * len(m.group()), line)


def in_string(line, at):
    return len(re.findall(r'(?<!\\)"', line[:at])) % 2 == 1 or re.search(r"'[^']?$", line[:at]) is not None


def mutants(text):
    lines = text.split("\n")
    for n, line in code_lines(text):
        for pattern, becomes in BENDS:
            for m in re.finditer(pattern, line):
                if not in_string(line, m.start()):
                    bent = lines[n][:m.start()] + becomes + lines[n][m.end():]
                    yield n + 1, bent.strip(), "\n".join(lines[:n] + [bent] + lines[n + 1:])


class Bench:
    """How a test program is made: the compile command of one source, the link command."""

    def __init__(self, build, source, test):
        self.build, self.program = build, "tests/unit/" + test
        row = [e for e in json.load(open(os.path.join(build, "compile_commands.json")))
               if os.path.normpath(os.path.join(e["directory"], e["file"])) == os.path.abspath(source)
               and e["output"].startswith(self.program + ".p/")]
        if not row:
            raise SystemExit("mutation: %s is not in %s" % (source, test))
        self.object = row[0]["output"]
        words = [w for w in shlex.split(row[0]["command"]) if w != "ccache"]
        cut = words.index("-MD")
        self.compile = [w for w in words[:cut] if w != "-Werror"] + [
            "-w", "-O0", "-U_FORTIFY_SOURCE", "-I" + os.path.dirname(os.path.abspath(source))]
        last = subprocess.run(["ninja", "-C", build, "-t", "commands", self.program], capture_output=True, text=True,
                              check=True).stdout.strip().split("\n")[-1]
        self.link = [w for w in shlex.split(last) if w != "ccache"]

    def notices(self, folder, source_file):
        """None: it does not compile. True: the test fails with it."""
        made, program = os.path.join(folder, "bent.o"), os.path.join(folder, "bent")
        if subprocess.run(self.compile + ["-o", made, "-c", source_file], cwd=self.build,
                          capture_output=True).returncode != 0:
            return None
        link = [made if w == self.object else program if w == self.program else w for w in self.link]
        subprocess.run(link, cwd=self.build, capture_output=True, check=True)
        try:
            return subprocess.run([program], cwd=folder, capture_output=True, timeout=TEST_S).returncode != 0
        except subprocess.TimeoutExpired:
            return True


def alike(source, line):
    """Lines with a comment that says so change nothing when they are bent."""
    return "mutation: alike" in line


def judge(benches, source, number, bent, text):
    with tempfile.TemporaryDirectory(prefix="aegis-mutation-") as folder:
        path = os.path.join(folder, os.path.basename(source))
        with open(path, "w") as out:
            out.write(text)
        for bench in benches:
            noticed = bench.notices(folder, path)
            if noticed is None:
                return "void"
            if noticed:
                return "caught"
    return "survived"


def run(build, source):
    text = open(source).read()
    benches = [Bench(build, source, test) for test in FILES[source]]
    for bench in benches:
        subprocess.run(["ninja", "-C", build, "--quiet", bench.program], check=True)
    counts = {"caught": 0, "void": 0, "survived": 0}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(n, bent, pool.submit(judge, benches, source, n, bent, body)) for n, bent, body in mutants(text)
                if not alike(source, text.split("\n")[n - 1])]
        for n, bent, job in jobs:
            counts[job.result()] += 1
            if job.result() == "survived":
                print("%s:%d: survived: %s" % (source, n, bent), flush=True)
    print("%s: %d caught, %d survived, %d did not compile" % (source, counts["caught"], counts["survived"],
                                                             counts["void"]), flush=True)
    return counts["caught"], counts["survived"]


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    os.chdir(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    sums = [run(build, source) for source in sys.argv[2:] or FILES]
    caught, survived = sum(s[0] for s in sums), sum(s[1] for s in sums)
    print("mutation: %d of %d caught" % (caught, caught + survived))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
