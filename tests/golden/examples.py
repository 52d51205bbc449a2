#!/usr/bin/env python3
"""Each command and subcommand has examples of its own, with options that it has, and the options that all have.

    examples.py MLOPS
"""
import re
import shlex
import subprocess
import sys

COMMON = ["-h,--help", "-w,--workspace", "-v,--verbose", "--no-color"]


def help_of(mlops, words):
    return subprocess.run([mlops, *words, "--help"], check=True, capture_output=True, text=True).stdout


def texts(mlops, words=()):
    """The help texts of all commands, by their words."""
    text = help_of(mlops, words)
    found = {words: text}
    for name in re.findall(r"^  ([a-z]+)  +\S", text, re.M):
        found |= texts(mlops, (*words, name))
    return found


def commands_in(example):
    """The words after each `mlops` of a line of shell."""
    lexer = shlex.shlex(example, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    called = None
    for token in [*lexer, ";"]:
        if token in ("|", "&&", ";", ">"):
            if called is not None:
                yield called
            called = None
        elif token == "mlops" and called is None:
            called = []
        elif called is not None:
            called.append(token)


def main():
    known = texts(sys.argv[1])
    bad = []
    for words, text in known.items():
        name = " ".join(("mlops", *words))
        for option in COMMON:
            if option not in text:
                bad.append(f"{name} --help does not show {option}")
        examples = [line for line in text.partition("Examples:\n")[2].split("\n\n")[0].splitlines() if line.startswith("  ")]
        if not any(line.strip().startswith(name) or f"| {name}" in line or f"&& {name}" in line for line in examples):
            bad.append(f"{name} --help has no example of its own")
        for line in examples:
            for called in commands_in(line):
                path = max((w for w in known if tuple(called[: len(w)]) == w), key=len)
                for word in called[len(path) :]:
                    option = word.split("=")[0]
                    if re.match(r"--?[a-z]", option) and not re.search(rf"(^|[ ,]){re.escape(option)}\b", known[path], re.M):
                        bad.append(f"{name} --help: '{line.strip()}' has {option}, which there is not")
    print("\n".join(bad))
    sys.exit(1 if bad or len(known) < 60 else 0)


main()
