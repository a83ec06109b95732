#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of the code that decides: each comparison, boolean operator,
negation, returned truth and small constant is bent, one at a time, in a copy;
the unit tests of that file are linked with the copy and must fail.

  tests/mutation/run.py BUILD [--sample N] [--limit SECONDS] [FILE…]

Only the bent file is compiled (with the address and undefined behaviour
sanitizers, so that a read past an array counts as noticed) and linked with the
objects that are there. A survivor is a decision that no test looks at, or a
change that changes nothing: tests/mutation/alike.txt lists those, with the
reason. --sample takes every Nth of the bends; --limit ends the run after that
time, and fails if something was not tried. The tree is not touched.
"""
import argparse
import concurrent.futures
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# What is bent, and the tests that must notice: the first that fails is enough.
FILES = {
    "policy/scope.c": ["policy/scope_test"],
    "policy/roles.c": ["policy/scope_test"],
    "policy/weigh.c": ["actors/risk_score_test", "actors/risk_test"],
    "actors/approvals/state.c": ["actors/approvals_test"],
    "actors/iam/check.c": ["actors/iam_check_test", "actors/iam_agents_test"],
    "actors/keys/state.c": ["actors/keys_state_test"],
    "actors/risk/score.c": ["actors/risk_score_test", "actors/habit_test", "actors/risk_test"],
}
TEST_S = 30  # for one test program; the slowest takes half a second on a quiet machine
HEAP_MB = 1024
LIMIT_S = 900
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# (pattern, what it becomes): applied to each place of a line by itself.
BENDS = [
    (r"==", "!="), (r"!=", "=="), (r"<=", "<"), (r">=", ">"), (r"(?<![-<>=])<(?![<=])", "<="),
    (r"(?<![-<>=])>(?![>=])", ">="), (r"&&", "||"), (r"\|\|", "&&"), (r"!(?=[a-z(])", ""),
    (r"\breturn true\b", "return false"), (r"\breturn false\b", "return true"),
    (r"(?<![\w.])0(?![\w.])", "1"), (r"(?<![\w.])1(?![\w.])", "2"),
    (r"\bYES\b(?!\])", "NO"), (r"\b(NO|PRE|DEA|COM|DES|PEN|FRO)\b(?!\])", "YES"), # cells of tables
]
SAME = re.compile(r"sizeof\(\w+\[0\]\)|PRI\w+")  # whatever the index is


def code_lines(text):
    """Line numbers of code: no comments, includes, declarations of limits or tables of names."""
    inside = False
    for n, line in enumerate(text.split("\n")):
        bare = line.strip()
        if inside or bare.startswith("/*") or bare.startswith("*"):
            inside = "*/" not in bare and (inside or bare.startswith("/*"))
            continue
        if bare and not bare.startswith(("#", "//", "static_assert", "_Static_assert")):
            blank = re.sub(r"/\*.*?\*/", lambda m: " " * len(m.group()), line)
            if not re.fullmatch(r"\w+,?", blank.strip()):  # a line of an enum
                yield n, SAME.sub(lambda m: " " * len(m.group()), blank)


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
        last = subprocess.run(["ninja", "-C", build, "-t", "commands", self.program], capture_output=True, text=True,
                              check=True).stdout.strip().split("\n")[-1]
        self.link = [w for w in shlex.split(last) if w != "ccache"] + SANITIZE
        row = [e for e in json.load(open(os.path.join(build, "compile_commands.json")))
               if os.path.normpath(os.path.join(e["directory"], e["file"])) == os.path.abspath(source)
               and e["output"] in self.link]
        if not row:
            raise SystemExit("mutation: %s is not in %s" % (source, test))
        self.object = row[0]["output"]
        words = [w for w in shlex.split(row[0]["command"]) if w != "ccache"]
        cut = words.index("-MD")
        # Tests of a file link the object of its program, or one of their own made likewise: one serves them all.
        self.compile = [w for w in words[:cut] if w != "-Werror" and not w.startswith("-O")] + SANITIZE + [
            "-w", "-O0", "-g0", "-U_FORTIFY_SOURCE", "-I" + os.path.dirname(os.path.abspath(source))]

    def fails(self, folder, made, tell):
        program = os.path.join(folder, "bent")
        link = [made if w == self.object else program if w == self.program else w for w in self.link]
        subprocess.run(link, cwd=self.build, capture_output=True, check=True)
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:exitcode=9:hard_rss_limit_mb=%d" % HEAP_MB, TMPDIR=folder,
                   LD_LIBRARY_PATH=os.path.join(self.build, "engine"))
        try:
            done = subprocess.run([program], cwd=folder, capture_output=True, timeout=TEST_S, env=env, preexec_fn=bound)
            if tell and done.returncode != 0:
                sys.stderr.write((done.stdout + done.stderr).decode(errors="replace")[-4000:])
            return done.returncode != 0
        except subprocess.TimeoutExpired:
            return True


def bound():
    """A bent loop may write all there is; what it allocates, the sanitizer bounds."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))


def judge(benches, source, text, until, tell=False):
    if time.monotonic() > until:
        return "not tried"
    with tempfile.TemporaryDirectory(prefix="aegis-mutation-") as folder:
        path, made = os.path.join(folder, os.path.basename(source)), os.path.join(folder, "bent.o")
        with open(path, "w") as out:
            out.write(text)
        if subprocess.run(benches[0].compile + ["-o", made, "-c", path], cwd=benches[0].build,
                          capture_output=True).returncode != 0:
            return "void"
        return "caught" if any(bench.fails(folder, made, tell) for bench in benches) else "survived"


def alike():
    """(file, the bent line) of what changes nothing, each with its reason."""
    rows = set()
    for n, line in enumerate(open(os.path.join(HERE, "alike.txt"))):
        if line.strip() and not line.startswith("#"):
            parts = [part.strip() for part in line.split(" @ ")]
            if len(parts) != 3 or not all(parts):
                raise SystemExit("mutation: alike.txt:%d: want `file @ bent line @ reason`" % (n + 1))
            rows.add((parts[0], parts[1]))
    return rows


def run(build, source, known, sample, until):
    text = open(source).read()
    benches = [Bench(build, source, test) for test in FILES[source]]
    subprocess.run(["ninja", "-C", build, "--quiet"] + [bench.program for bench in benches], check=True)
    if judge(benches, source, text, until, tell=True) != "survived":
        raise SystemExit("mutation: the tests of %s fail with nothing bent" % source)
    counts = {"caught": 0, "survived": 0, "alike": 0, "void": 0, "not tried": 0}
    begin, all_bends = time.monotonic(), list(mutants(text))
    stale = {bent for file, bent in known if file == source} - {bent for _, bent, _ in all_bends}
    for bent in sorted(stale):
        print("mutation: alike.txt: no such bend of %s: %s" % (source, bent))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for n, bent, body in all_bends[::sample]:
            if (source, bent) in known:
                counts["alike"] += 1
            else:
                jobs.append((n, bent, pool.submit(judge, benches, source, body, until)))
        for n, bent, job in jobs:
            counts[job.result()] += 1
            if job.result() == "survived":
                print("%s:%d: survived: %s" % (source, n, bent), flush=True)
    return [source, sum(counts.values())] + list(counts.values()) + ["%.0f s" % (time.monotonic() - begin)], \
        counts["survived"] + counts["not tried"] + len(stale), counts["caught"]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build")
    args.add_argument("--sample", type=int, default=1)
    args.add_argument("--limit", type=float, default=LIMIT_S)
    args.add_argument("files", nargs="*")
    args = args.parse_args()
    os.chdir(os.path.dirname(os.path.dirname(HERE)))
    known, until = alike(), time.monotonic() + args.limit
    rows, wrong, caught = [], 0, 0
    for source in args.files or FILES:
        row, bad, good = run(os.path.abspath(args.build), source, known, args.sample, until)
        rows.append(row)
        wrong, caught = wrong + bad, caught + good
    print("%-22s %6s %7s %9s %6s %5s %10s %6s" % ("file", "bends", "caught", "survived", "alike", "void", "not tried",
                                                   "time"))
    for row in rows:
        print("%-22s %6d %7d %9d %6d %5d %10d %6s" % tuple(row))
    print("mutation: %d caught, %d not" % (caught, wrong))
    return 1 if wrong or not caught else 0


if __name__ == "__main__":
    sys.exit(main())
