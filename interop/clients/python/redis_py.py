"""redis-py over RESP2 and RESP3: commands, pipelines, transactions, scripts, blocking reads, consumer groups, pub/sub."""

import time

import redis

from tally import END, URL, Tally, together

tally = Tally()


class Counted(redis.Connection):
    """A connection that says when it connects a second time."""

    connected = False

    def _connect(self):
        if self.connected:
            tally.reconnects += 1
        self.connected = True
        return super()._connect()


def play(protocol):
    name = f"redis-py:{protocol}"
    suffix = f" RESP{protocol}"
    pool = redis.ConnectionPool.from_url(URL, protocol=protocol, decode_responses=True, connection_class=Counted)
    r = redis.Redis(connection_pool=pool)
    bump = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    state = {"published": 0, "received": 0, "pushed": 0, "popped": 0, "added": 0, "read": 0}

    def commands(i):
        r.set(f"{name}:k", i)
        tally.check("GET", r.get(f"{name}:k"), str(i))

    def pipelines(i):
        p = r.pipeline(transaction=False)
        for n in range(50):
            p.set(f"{name}:p{n}", i)
            p.get(f"{name}:p{n}")
        tally.check("pipeline", p.execute(), [True, str(i)] * 50)

    def transactions(_):
        def change(p):
            n = int(p.get(f"{name}:sum") or 0)
            p.multi()
            p.set(f"{name}:sum", n + 1)
            p.get(f"{name}:sum")

        ok, value = r.transaction(change, f"{name}:sum")
        tally.check("EXEC", ok, True)

    def scripts(i):
        tally.check("EVALSHA", bump(keys=[f"{name}:bumped"], args=[2]), 2 * i)

    def push(_):
        state["pushed"] += 1
        r.rpush(f"{name}:list", state["pushed"])

    def pop():
        while time.monotonic() < END or state["popped"] < state["pushed"]:
            got = r.blpop([f"{name}:list"], timeout=2)  # redis-py itself gives up after 5
            if got is None:
                break
            state["popped"] += 1
            tally.check("BLPOP", list(got), [f"{name}:list", str(state["popped"])])
            tally.count("popped" + suffix)

    def publish(_):
        state["published"] += 1
        r.publish(f"{name}:news", state["published"])

    pubsub = r.pubsub()
    pubsub.subscribe(f"{name}:news")

    def receive():
        limit = END + 10
        while time.monotonic() < END or (state["received"] < state["published"] and time.monotonic() < limit):
            message = pubsub.get_message(timeout=0.5)
            if message is None or message["type"] != "message":
                continue
            state["received"] += 1
            tally.check("message", message["data"], str(state["received"]))
            tally.count("messages" + suffix)
        tally.check("messages received", state["received"], state["published"])

    def add(_):
        state["added"] += 1
        r.xadd(f"{name}:stream", {"n": state["added"]}, maxlen=1000)

    r.xgroup_create(f"{name}:stream", "group", mkstream=True)

    def consume():
        while time.monotonic() < END or state["read"] < state["added"]:
            got = r.xreadgroup("group", "one", {f"{name}:stream": ">"}, count=1, block=2000)
            if not got:
                break
            entries = list(got.values())[0] if isinstance(got, dict) else got[0][1]
            while entries and isinstance(entries[0], list):  # RESP3 has them in one more list
                entries = entries[0]
            entry, fields = entries[0]
            state["read"] += 1
            tally.check("XREADGROUP", fields, {"n": str(state["read"])})
            r.xack(f"{name}:stream", "group", entry)
            tally.count("entries" + suffix)

    def guarded(what, work):
        def run():
            try:
                work()
            except Exception as error:
                tally.fail(what, error)

        return run

    together(
        lambda: tally.repeat("commands" + suffix, 0.005, commands),
        lambda: tally.repeat("pipelines" + suffix, 0.05, pipelines),
        lambda: tally.repeat("transactions" + suffix, 0.02, transactions),
        lambda: tally.repeat("scripts" + suffix, 0.02, scripts),
        lambda: tally.repeat("pushed" + suffix, 0.1, push),
        guarded("BLPOP", pop),
        lambda: tally.repeat("published" + suffix, 0.02, publish),
        guarded("messages", receive),
        lambda: tally.repeat("added" + suffix, 0.1, add),
        guarded("XREADGROUP", consume),
    )


together(lambda: play(2), lambda: play(3))
tally.print()
