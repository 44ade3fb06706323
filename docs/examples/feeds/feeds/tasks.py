"""The task: to read one feed."""

from __future__ import annotations

from datetime import timedelta

from flask import current_app
from sqlalchemy import select
from tenacity import stop_after_attempt, wait_exponential

import cloudq

from .models import Entry, Feed, db
from .reading import Document, Gone, NoFeed, fetch


@cloudq.task(
    retry=cloudq.RetryPolicy(stop=stop_after_attempt(5), wait=wait_exponential(min=30, max=3600)),
    time_limit=timedelta(minutes=1),
)
def refresh(feed_id: int) -> None:
    """Reads a feed, and keeps the entries that are new. May run twice: it finds nothing new then.

    A site that can't be reached is tried again, later each time. One that says its feed is gone isn't asked any more.
    What isn't a feed goes to the dead letters, where a person looks at it.
    """
    feed = db.session.get(Feed, feed_id)
    if feed is None or feed.gone:
        return  # it was removed in the meantime
    try:
        document = fetch(feed.url, feed.etag)
    except Gone as error:
        current_app.logger.warning("%s is gone: %s", feed.url, error)
        feed.gone = True
        db.session.commit()
        return
    except NoFeed as error:
        raise cloudq.DeadLetter(f"{feed.url} is no feed: {error}") from error
    if document is not None:
        print(f"{document.title}: {keep(feed, document)} new entries", flush=True)


def keep(feed: Feed, document: Document) -> int:
    """Keeps what is new in a document. Returns how many entries that are."""
    known = set(db.session.scalars(select(Entry.guid).where(Entry.feed_id == feed.id)))
    new = {item.guid: item for item in document.items if item.guid not in known}
    feed.title, feed.etag = document.title, document.etag
    db.session.add_all(
        Entry(feed_id=feed.id, guid=item.guid, title=item.title, link=item.link, published=item.published)
        for item in new.values()
    )
    db.session.commit()
    return len(new)
