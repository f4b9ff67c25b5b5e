# SPDX-License-Identifier: GPL-3.0-or-later
"""A user of redis that keeps the longest time an answer took: redis_client.py SOCKET KEYS

A batch of SETs of random keys every millisecond. Time counts from when the batch was due, so that one
slow answer does not hide how late the next batches are. Speaks as victim_bench does.
"""
import os
import random
import select
import socket
import sys
import time

BATCH = 16
VALUE_SIZE = 1000
PERIOD_NS = 1_000_000


def batch(n_keys):
    out = []
    for _ in range(BATCH):
        key = b"key:%d" % random.randrange(n_keys)
        out.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
                   % (len(key), key, VALUE_SIZE, random.randbytes(VALUE_SIZE)))
    return b"".join(out)


def wait_for_answers(connection):
    left = len(b"+OK\r\n") * BATCH
    while left:
        answer = connection.recv(left)
        if not answer or b"-" in answer:
            raise SystemExit(f"redis answered {answer!r}")
        left -= len(answer)


def be_urgent():
    """A busy machine shall not look like a dump."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass


def main():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    be_urgent()
    print("ready", flush=True)
    longest, due = 0, time.monotonic_ns()
    while True:
        due += PERIOD_NS
        time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
        connection.sendall(batch(int(sys.argv[2])))
        wait_for_answers(connection)
        longest = max(longest, time.monotonic_ns() - due)
        # Questions wait until nothing is late any more, so that an answer knows of all.
        if time.monotonic_ns() < due + PERIOD_NS and select.select([0], [], [], 0)[0]:
            line = sys.stdin.readline()
            if not line:
                break
            print("ok" if line == "reset\n" else longest, flush=True)
            longest = 0 if line == "reset\n" else longest


main()
