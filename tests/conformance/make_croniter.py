#!/usr/bin/env python3
"""Writes croniter.tsv: what croniter (PyPI) says about cases.tsv. Needs `pip install croniter`; run it only to renew the table."""
import datetime
import importlib.metadata
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

here = Path(__file__).parent
lines = [f"# By croniter {importlib.metadata.version('croniter')} (PyPI), make_croniter.py; the topic hash with hash_id 'seed'."]
for line in (here / "cases.tsv").read_text().splitlines():
    if line.startswith("#"):
        continue
    topic, expression, zone, begin, count = line.split("\t")
    times = []
    try:
        start = datetime.datetime.fromisoformat(begin.replace("Z", "+00:00")).astimezone(ZoneInfo(zone))
        # With a hash_id it hashes @daily as well.
        walk = croniter(expression, start, hash_id=b"seed" if topic == "hash" else None)
        for _ in range(int(count)):
            time = walk.get_next(datetime.datetime).astimezone(datetime.timezone.utc)
            times.append(time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    except CroniterBadDateError:
        pass
    except Exception:  # of which kind differs
        times = ["refused"]
    lines.append("\t".join([topic, expression, zone, begin, count, " ".join(times) or "never"]))
(here / "croniter.tsv").write_text("\n".join(lines) + "\n")
