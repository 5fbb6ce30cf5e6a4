"""A Python program that measures how much CPU time each of its functions takes: CPython 3.8 or newer, alone.

Usage: python hot.py THREADS [SECONDS]
Says {"pid": ...}; works until SIGTERM, or for SECONDS; then says {"functions": {name: seconds}}, the CPU time of each
(CLOCK_THREAD_CPUTIME_ID). What they make is emptied before they return: CPython frees what is left after that, when
the function is no longer on its stack.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import zlib

spent = {}
ended = threading.Event()


def timed(function):
    def measure(*arguments):
        began = time.thread_time()
        function(*arguments)
        name = threading.get_ident(), function.__name__
        spent[name] = spent.get(name, 0.0) + time.thread_time() - began

    return measure


@timed
def hot_loop():
    total = 0
    for i in range(60000):
        total += i * i


@timed
def hot_dict():
    table = {}
    for i in range(20000):
        table[i] = str(i)
    table.clear()


@timed
def hot_zlib():
    for _ in range(3):
        zlib.compress(b"abcdefghijklmnop" * 3000, 6)


class Deep:
    def method(self):
        self.go_down(20)

    def go_down(self, n):
        if n:
            return self.go_down(n - 1)
        return self.hot_method()

    @timed
    def hot_method(self):
        numbers = [i % 7 for i in range(30000)]
        numbers.sort()
        numbers.clear()


def generate():
    for i in range(5):
        hot_in_generator()
        yield i


@timed
def hot_in_generator():
    text = ""
    for _ in range(8000):
        text += "x"


async def nested(n):
    if n:
        return await nested(n - 1)
    hot_in_coroutine()
    return await asyncio.sleep(0)


@timed
def hot_in_coroutine():
    return sum(x * 2 for x in range(20000))


def work():
    hot_loop()
    hot_dict()
    hot_zlib()
    Deep().method()
    for _ in generate():
        pass
    sorted([3, 1, 2], key=lambda item: hot_loop() or item)
    asyncio.run(nested(10))


def work_on():
    while not ended.is_set():
        work()


def main():
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if len(sys.argv) > 2:
        signal.signal(signal.SIGALRM, lambda *_: ended.set())
        signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
    print(json.dumps({"pid": os.getpid()}), flush=True)
    threads = [threading.Thread(target=work_on) for _ in range(int(sys.argv[1]))]
    for thread in threads:
        thread.start()
    if threads:
        ended.wait()
    work_on()
    for thread in threads:
        thread.join()
    functions = {}
    for (_, name), seconds in spent.items():
        functions[name] = functions.get(name, 0.0) + seconds
    print(json.dumps({"functions": functions}), flush=True)


if __name__ == "__main__":
    main()
