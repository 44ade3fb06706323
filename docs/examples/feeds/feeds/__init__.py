"""An aggregator of RSS feeds: the newest entries of many sites on one page. Reading a feed is a task."""

from __future__ import annotations

import click
from flask import Flask, Response, abort, jsonify, request
from sqlalchemy import select

from cloudq.integrations.flask import Cloudq

from .models import Entry, Feed, db
from .tasks import refresh

queue = Cloudq()
SHOWN = 20


def create_app(**config: object) -> Flask:
    """The application, with its tasks."""
    web = Flask("feeds", instance_relative_config=True)
    web.config.update(SQLALCHEMY_DATABASE_URI="sqlite:///feeds.db", CLOUDQ_URL="sqlite:///queue.db")
    web.config.from_prefixed_env("FEEDS")
    web.config.update(config)
    db.init_app(web)
    queue.init_app(web)
    web.post("/feeds")(add)
    web.get("/entries")(entries)
    web.cli.command("init-db")(db.create_all)
    web.cli.add_command(add_command)
    web.cli.add_command(refresh_command)
    web.cli.add_command(entries_command)
    return web


def add() -> tuple[Response, int]:
    """Takes a feed, and answers before anybody has read it."""
    try:
        feed = added(str(request.get_json(force=True)["url"]))
    except ValueError as error:
        abort(422, str(error))
    return jsonify(id=feed.id, url=feed.url), 202


def added(url: str) -> Feed:
    """The feed of that address, which is read soon. One that is there already is read anew.

    Raises:
        ValueError: It is no address of the web.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("the address of a feed begins with http:// or https://")
    feed = db.session.scalar(select(Feed).where(Feed.url == url))
    if feed is None:
        feed = Feed(url=url)
        db.session.add(feed)
        db.session.commit()  # before the send: the task reads it
    refresh.send(feed.id)
    return feed


def newest() -> list[Entry]:
    """The newest entries of all feeds."""
    return list(db.session.scalars(select(Entry).order_by(Entry.published.desc(), Entry.id).limit(SHOWN)))


def entries() -> Response:
    """The newest entries of all feeds."""
    return jsonify(
        [
            {
                "feed": entry.feed.title,
                "title": entry.title,
                "link": entry.link,
                "published": entry.published.isoformat(),
            }
            for entry in newest()
        ]
    )


@click.command("add")
@click.argument("urls", nargs=-1, required=True)
def add_command(urls: tuple[str, ...]) -> None:
    """Add feeds by their addresses."""
    for url in urls:
        try:
            click.echo(f"feed {added(url).id}: {url}")
        except ValueError as error:
            raise click.BadParameter(str(error)) from error


@click.command("refresh")
def refresh_command() -> None:
    """Have all feeds read: for a timer."""
    ids = list(db.session.scalars(select(Feed.id).where(Feed.gone.is_(False))))
    queue.app.send_many([refresh.call(id_) for id_ in ids])
    click.echo(f"{len(ids)} feeds will be read")


@click.command("entries")
def entries_command() -> None:
    """Show the newest entries."""
    for entry in newest():
        click.echo(f"{entry.published:%Y-%m-%d}  {entry.title}  ({entry.feed.title})")
