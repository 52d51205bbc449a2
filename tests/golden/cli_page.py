#!/usr/bin/env python3
"""Renews docs/cli.md from the binary: prints the page with the help texts of now.

    cli_page.py MLOPS PAGE > new

The words of the page stay. A fence under the comment <!-- mlops COMMAND --help --> gets what that command prints, and
a command that the page does not have gets a section at the end.
"""
import re
import subprocess
import sys

MARK = "<!-- mlops {}--help -->"


def help_of(mlops, command=""):
    text = subprocess.run([mlops, *command.split(), "--help"], check=True, capture_output=True, text=True).stdout
    return "```text\n" + text.rstrip("\n") + "\n```"


def main():
    mlops, page = sys.argv[1:3]
    whole = subprocess.run([mlops, "--help"], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"^  ([a-z]+)  +\S", whole, re.M)
    with open(page, encoding="utf-8") as file:
        text = file.read()
    for name in ["", *names]:
        mark = MARK.format(name + " " if name else "")
        if mark not in text:
            text = text.rstrip("\n") + f"\n\n## mlops {name}\n\n{mark}\n```text\n```\n"
        fresh = help_of(mlops, name)
        text = re.sub(re.escape(mark) + r"\n```text\n.*?^```$", lambda _: mark + "\n" + fresh, text, flags=re.M | re.S)
    known = {MARK.format(n + " " if n else "") for n in ["", *names]}
    for mark in re.findall(r"^<!-- mlops .*?--help -->$", text, re.M):
        if mark not in known:
            raise SystemExit(f"{page}: {mark} is of a command that is gone: take its section out")
    sys.stdout.write(text)


main()
