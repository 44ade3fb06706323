"""What of a program that was written for Celery maps, what changes its meaning, and what has no counterpart.

From the app's object (`of_app`), which the program itself has imported Celery for, and from its sources (`of_sources`).
"""
