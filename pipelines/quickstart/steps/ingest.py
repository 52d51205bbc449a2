"""Checks the published table and writes the columns a model learns from.

Whatever is not as expected stops the pipeline here, with the line of the file: bad data must not become a bad model.
"""
from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

from common import SPECIES, fail, log_metric, set_output, write_rows

# Column of the published file -> the values that make sense for an adult penguin.
RANGES = {
    "Culmen Length (mm)": (25, 70),
    "Culmen Depth (mm)": (10, 30),
    "Flipper Length (mm)": (150, 250),
    "Body Mass (g)": (2000, 8000),
}
ISLANDS = ("Biscoe", "Dream", "Torgersen")
SEX = {"MALE": 1.0, "FEMALE": 0.0, "NA": 0.5}  # unknown: between the two, rather than losing the row
MISSING = "NA"
MIN_ROWS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    problems: list[str] = []
    rows: list[list[object]] = []
    seen: set[tuple[str, str]] = set()
    dropped = unsexed = 0
    try:
        with open(args.raw, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            needed = {"Species", "Sample Number", "Island", "Sex", *RANGES}
            absent = sorted(needed - set(reader.fieldnames or []))
            if absent:
                fail(f"{args.raw}: missing column: {', '.join(absent)}")
            for line in reader:
                wrong = check(line)
                key = (line["Species"], line["Sample Number"])
                if key in seen:
                    wrong.append(f"sample {key[1]} of this species appears twice")
                seen.add(key)
                if wrong:
                    problems += [f"{args.raw}:{reader.line_num}: {what}" for what in wrong]
                elif any(line[column] == MISSING for column in RANGES):
                    dropped += 1  # nothing was measured: there is nothing to learn or to guess from
                else:
                    unsexed += line["Sex"] == MISSING
                    rows.append([species_of(line), *(float(line[column]) for column in RANGES), SEX[line["Sex"]]])
    except OSError as error:
        fail(f"{args.raw}: {error.strerror}")
    except (UnicodeDecodeError, csv.Error) as error:
        fail(f"{args.raw}: not a readable table: {error}")

    counts = Counter(row[0] for row in rows)
    if not problems and len(rows) < MIN_ROWS:
        problems.append(f"{args.raw}: {len(rows)} usable rows, at least {MIN_ROWS} are needed")
    if not problems and len(counts) < len(SPECIES):
        problems.append(f"{args.raw}: no row of {', '.join(sorted(set(SPECIES) - set(counts)))}")
    if problems:
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        fail("\n".join(problems[:10]) + more)

    write_rows(args.out, rows)
    set_output(rows=len(rows), dropped=dropped)
    log_metric("rows", len(rows))
    log_metric("rows_dropped", dropped)
    print(f"{len(seen)} penguins read, {len(rows)} kept: " + ", ".join(f"{counts[name]} {name}" for name in SPECIES))
    print(f"{dropped} dropped (never measured), {unsexed} kept with unknown sex")


def species_of(line: dict[str, str]) -> str:
    return line["Species"].split(" ")[0]


def check(line: dict[str, str]) -> list[str]:
    """What is wrong with one row, in words."""
    if None in line or None in line.values():
        return ["the row has not as many fields as the header"]
    wrong = []
    if species_of(line) not in SPECIES:
        wrong.append(f"unknown species {line['Species']!r}")
    if line["Island"] not in ISLANDS:
        wrong.append(f"unknown island {line['Island']!r}")
    if line["Sex"] not in SEX:
        wrong.append(f"unknown sex {line['Sex']!r}")
    for column, (low, high) in RANGES.items():
        if line[column] == MISSING:
            continue
        try:
            value = float(line[column])
        except ValueError:
            wrong.append(f"{column} is not a number: {line[column]!r}")
            continue
        if not low <= value <= high:  # also refuses nan
            wrong.append(f"{column} is {line[column]}, expected {low} to {high}")
    return wrong


if __name__ == "__main__":
    main()
