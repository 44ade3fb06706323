"""The way here from other libraries of tasks: what programs import in their place, and what says what carries over.

Nothing in here imports such a library in order to run tasks, so that a program that has moved needs it no more.
"""
