"""Asks the running service about three penguins whose species is known. A wrong answer is a failure."""
from __future__ import annotations

import argparse
import json
import urllib.request

from common import FEATURES, fail, log_metric

# Typical birds: the median measurements of females and males of each species, rounded.
KNOWN = (
    ("Adelie", (37.0, 17.6, 188, 3400, 0)),
    ("Chinstrap", (51.0, 19.3, 200, 3950, 1)),
    ("Gentoo", (45.5, 14.3, 212, 4700, 0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--release", required=True, help="the release that must answer")
    args = parser.parse_args()
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # 127.0.0.1 needs no proxy

    for species, values in KNOWN:
        request = urllib.request.Request(
            f"{args.url}/predict", data=json.dumps(dict(zip(FEATURES, values))).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with ask(request, timeout=5) as response:
                answer = json.load(response)
        except (OSError, ValueError) as error:  # urllib's own errors are OSErrors
            fail(f"{args.url}: {error}")
        if answer["release"] != args.release:
            fail(f"release {answer['release']} answered, {args.release} was expected")
        if answer["species"] != species:
            fail(f"a {species} was taken for {answer['species']}: {answer['probabilities']}")
        chance = answer["probabilities"][species]
        log_metric(f"smoke.{species}", chance)
        measures = " ".join(f"{value:g}" for value in values[:4])
        print(f"POST /predict {measures}  ->  {answer['species']} ({chance:.0%})")


if __name__ == "__main__":
    main()
