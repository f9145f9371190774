"""Celery: a worker with two processes, tasks at once and later, each result looked at."""

import re
import subprocess
import sys
import tempfile

from tally import Tally
from tasks import add

tally = Tally()
with tempfile.TemporaryFile("w+") as log:
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency", "2", "--loglevel", "INFO", "--without-mingle"],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        tally.check("first task", add.delay(1, 1).get(timeout=60), 2)

        def work(i):
            task = add.apply_async((i, i), countdown=0.1 if i % 5 == 0 else None)
            tally.check("result", task.get(timeout=20), 2 * i)

        tally.repeat("tasks", 0.02, work)
    finally:
        worker.terminate()
        worker.wait(20)
    log.seek(0)
    lines = log.read().splitlines()
tally.count("tasks done", sum("succeeded in" in line for line in lines))
if tally.done["tasks done"] != tally.done["tasks"] + 1:
    tally.fail("worker", f"{tally.done['tasks done']} tasks succeeded of {tally.done['tasks'] + 1}")
for line in lines:
    if re.search(r"(ERROR|CRITICAL)/|Traceback|onnection to broker lost|Cannot connect", line):
        tally.fail("worker", line)
tally.print()
