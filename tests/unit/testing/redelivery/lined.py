"""Functions whose lines test_lines.py counts: their numbers don't matter, their texts do."""

from contextlib import contextmanager


def plain(log):
    """Says what it does."""
    log.append("first")
    if log:
        log.append("second")
    return len(log)


def closing(log):
    with noted(log):
        log.append("in the block")


@contextmanager
def noted(log):
    log.append("enter")
    try:
        yield
    except BaseException:
        log.append("undone")
        raise
    log.append("kept")


def outer(number):
    def inner():
        return number + 1

    return inner


def locked(log, lock):
    lock.acquire()
    try:
        log.append("held")
    finally:
        lock.release()


def undone(log):
    log.append("begun")
    try:
        del {}["nothing"]
    except BaseException:
        log.append("undone")
        raise


def committed(log):
    try:
        log.append("begun")
    except BaseException:
        log.append("undone")
        raise
    log.append("committed")


def committed_in_else(log):
    try:
        log.append("begun")
    except BaseException:
        log.append("undone")
        raise
    else:
        log.append("committed")


def handled(log):
    try:
        [].pop()
    except IndexError:
        log.append("handled")


class Till:
    def __init__(self):
        self.sum = 0

    def add(self, amount):
        self.sum += amount


def drawn(log):
    for number in range(2):
        log.append(number)
        yield number


async def waiting(log):
    log.append("async")


pair = lambda a: (a, a)  # noqa: E731 - a function without a name
one_more, tenfold = lambda number: number + 1, lambda number: number * 10  # two of one name on one line


def chosen(value, log):
    global last  # noqa: PLW0603 - how it behaves is the point
    match value:
        case [one]:
            last = one
        case _:
            last = None
            for item in value:
                if item:
                    continue
                log.append(item)
            return [*log]
    return last


class Derived(Till):
    def add(self, amount):
        """Adds twice."""
        super().add(amount)
        return super().add(amount)

    @staticmethod
    def nothing(): ...
