"""Processes made in each of Python's ways send tasks, before and after their parent has sent, and while its threads do.

Prints how many were sent.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor

from shop import ok

EACH = 5


def send(_: int = 0) -> int:
    for n in range(EACH):
        ok.send(n=n)
    return EACH


def by_process(method: str) -> int:
    children = [multiprocessing.get_context(method).Process(target=send) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        if child.exitcode != 0:
            raise SystemExit(f"{method}: a child ended with {child.exitcode}")
    return len(children) * EACH


def by_pools(method: str) -> int:
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        count = sum(pool.map(send, range(2)))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return count + sum(executor.map(send, range(2)))


def everything() -> int:
    return sum(by_process(method) + by_pools(method) for method in ("fork", "spawn", "forkserver"))


if __name__ == "__main__":
    sent = everything() + send()
    sent += everything()
    threads = [threading.Thread(target=lambda: [send() for _ in range(4)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    sent += everything()
    for thread in threads:
        thread.join(60)
    print(sent + len(threads) * 4 * EACH)
