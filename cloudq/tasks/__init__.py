"""Declaring and calling: a function becomes a Task, a Task a Call, a Call a Message."""
