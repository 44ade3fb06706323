"""A module that a task calls: two effects, and a crash between them is what test_checking.py looks for."""

billed: list[str] = []


def bill() -> None:
    if "noted" in billed:
        return
    billed.append("charged")
    billed.append("noted")


def state() -> list[str]:
    return list(billed)


def reset() -> None:
    billed.clear()
