"""Reads flights, a JSON line each, and answers each with its score. FAIL_AT makes it die at that flight, as programs do."""

import json
import math
import os
import sys

FAIL_AT = int(os.environ.get("FAIL_AT", "0"))

for number, line in enumerate(sys.stdin, start=1):
    if number == FAIL_AT:
        sys.exit("score.py: lost the connection to the timetable")
    flight = json.loads(line)
    # A long way to make up for it, and an hour of the day at which others are waited for.
    flight["score"] = round(flight["delay"] / math.sqrt(1 + flight["distance"]) * (1 + flight["time"] / 24), 3)
    sys.stdout.write(json.dumps(flight) + "\n")
