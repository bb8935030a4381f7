"""Runs one command and prints what it cost as one JSON line on stdout.

measure.py COMMAND [ARGUMENT...]
wall_s: from the fork to the end. cpu_s: user and system time of the process and its children. peak_kb: resident memory of the
largest single process. The command's own stdin and stdout are /dev/null; its stderr passes through.
"""

import json
import os
import sys
import time

null = os.open(os.devnull, os.O_RDWR)
start = time.monotonic_ns()
child = os.fork()
if child == 0:
    os.dup2(null, 0)
    os.dup2(null, 1)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
    os._exit(127)
_, status, usage = os.wait4(child, 0)
wall = (time.monotonic_ns() - start) / 1e9
code = os.waitstatus_to_exitcode(status)
# Linux counts ru_maxrss in kilobytes, macOS in bytes.
peak = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss // 1024
print(json.dumps({"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_kb": peak, "code": code}))
