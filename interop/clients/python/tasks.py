"""The tasks of celery_load.py."""

import os

import celery

app = celery.Celery("tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True, task_acks_late=True, result_expires=60)


@app.task
def add(x, y):
    return x + y
