"""The outbox: messages that are stored by the user's own transaction, and published once it is committed.

Writing (`writing`) is the producers' half, reading (`reading`) the relay's; `schema` has their tables.
"""
