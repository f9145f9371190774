"""What a client did and what went wrong, for the program that runs it."""

import collections
import json
import os
import threading
import time

URL = os.environ["REDIS_URL"]
END = time.monotonic() + float(os.environ["SECONDS"])


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.done = collections.Counter()
        self.errors = []
        self.reconnects = 0

    def count(self, what, n=1):
        with self.lock:
            self.done[what] += n

    def fail(self, what, error):
        with self.lock:
            self.errors.append(f"{what}: {type(error).__name__ + ': ' if isinstance(error, Exception) else ''}{error}")

    def check(self, what, got, want):
        if got != want:
            self.fail(what, f"got {got!r}, want {want!r}")

    def repeat(self, what, pause, work):
        """Do work until the time is over. What it raises is an error."""
        i = 0
        while time.monotonic() < END:
            i += 1
            try:
                work(i)
                self.count(what)
            except Exception as error:
                self.fail(what, error)
            time.sleep(pause)

    def print(self):
        print(json.dumps({"done": self.done, "errors": self.errors[:10], "failed": len(self.errors), "reconnects": self.reconnects}), flush=True)
        os._exit(0)  # whatever is still open


def together(*works):
    """Run each in a thread of its own."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
