"""The user's own database: their connection as a transaction of a task, and as the outbox, use it."""

from cloudq.user_database.database import UserDatabase
from cloudq.user_database.opening import opened
from cloudq.user_database.statements import Answer, Dialect, Move, Script, Statement, arun, run

__all__ = ["Answer", "Dialect", "Move", "Script", "Statement", "UserDatabase", "arun", "opened", "run"]
