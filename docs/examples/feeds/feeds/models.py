"""The tables: feeds, and their entries."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """What the tables have in common."""


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:
    Model = Base  # which type checkers know
else:
    Model = db.Model


class Feed(Model):
    """A site's feed."""

    __tablename__ = "feed"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str] = mapped_column(default="")
    etag: Mapped[str | None]
    gone: Mapped[bool] = mapped_column(default=False)


class Entry(Model):
    """An entry of a feed, once, however often that is read."""

    __tablename__ = "entry"
    __table_args__ = (UniqueConstraint("feed_id", "guid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    feed_id: Mapped[int] = mapped_column(ForeignKey("feed.id"))
    guid: Mapped[str]
    title: Mapped[str]
    link: Mapped[str]
    published: Mapped[datetime]
    feed: Mapped[Feed] = relationship()
