"""One SQLite file that many threads and processes share: who writes when, checkpoints, forks, by which clock spans go.

What is kept in it is its users' business: each has tables of its own.
"""
