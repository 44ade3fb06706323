"""`cloudq outbox relay`."""

from __future__ import annotations

from typing import Annotated

from cloudq.cli.banner import show_banner
from cloudq.cli.choosing import any_app
from cloudq.cli.options import Backend, Debug, NamedApp, duration
from cloudq.cli.outbox.place import ListenUrl, Namespace, OutboxUrl, listen_url, opener, outbox_url, shown_url
from cloudq.cli.outbox.place import concurrency as readers
from cloudq.cli.output import note
from cloudq.cli.parameters import Option
from cloudq.cli.wording import in_options
from cloudq.cli.worker_options import address, log_format_of
from cloudq.errors import TransientError

EXAMPLES = (
    "cloudq outbox relay --outbox postgresql://db.example/shop --backend sqs://eu-west-1",
    "cloudq outbox relay --once --max-time 50s",
    "cloudq outbox relay --listen-url postgresql://db.example/shop --health 8080 --log-format json",
)


def relay(
    *,
    outbox: OutboxUrl = None,
    listen: ListenUrl = None,
    namespace: Namespace = None,
    once: Annotated[bool, Option("--once", help="End when nothing is due: for a function, or cron.")] = False,
    max_time: Annotated[
        str | None, Option("--max-time", metavar="SECONDS", help="End after this long, as after a signal.")
    ] = None,
    batch: Annotated[
        int | None,
        Option(
            "--batch",
            metavar="N",
            min=1,
            max=10_000,
            help="Messages that are taken at once; a relay that is killed may publish this many again. Default: 500.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        Option("--concurrency", metavar="N", min=1, help="Batches at once, where many messages wait. Default: 2."),
    ] = None,
    grace: Annotated[
        str, Option("--grace", metavar="SECONDS", help="How long a call under way may take to end at the end.")
    ] = "30",
    health: Annotated[
        str | None,
        Option("--health", metavar="PORT|HOST:PORT", help="Serve /healthz and /readyz (PORT: on all addresses)."),
    ] = None,
    log_format: Annotated[str, Option("--log-format", metavar="text|json", help="How to log to stderr.")] = "text",
    log_level: Annotated[str, Option("--log-level", metavar="LEVEL", help="The least severe to show.")] = "info",
    app: NamedApp = None,
    backend: Backend = None,
    _debug: Debug = False,
) -> None:
    """Publish what programs have stored in their outbox, until a signal stops it.

    Each message is published at least once, those of an ordering key in their order; any number of relays may run.
    The first SIGTERM or Ctrl-C lets the call under way end, a second one leaves now. Exits with 0 either way.

    With --once: 0 if all that was due is published, 1 if a message was refused or has to wait, or --max-time was over
    before, 3 if the database can't be reached.
    """
    from cloudq.relay.service import Relay
    from cloudq.relay.settings import RelaySettings
    from cloudq.running.logs import configure

    configure(log_format_of(log_format), log_level)
    url = outbox_url(outbox)
    usual = RelaySettings()
    settings = RelaySettings(
        once=once,
        max_time=None if max_time is None else duration("--max-time", max_time, positive=True),
        grace=duration("--grace", grace),
        listen_url=None if once else listen_url(listen),
        health=None if health is None else address(health),
        batch=usual.batch if batch is None else batch,
        concurrency=readers(url, usual.concurrency if concurrency is None else concurrency),
    )
    with in_options(), any_app(app, backend, wanted=False, stores=True) as chosen:
        configure(log_format_of(log_format), log_level, chosen.app.redact)
        service = Relay(chosen.app, opener(chosen.app, url, namespace), settings)
        try:
            service.check()
        except TransientError as error:
            if once:
                raise
            note(f"note: the outbox can't be reached yet: {error.message}")
        how = f"batches of {settings.batch}, {settings.concurrency} at once"
        lines = {"outbox": shown_url(url), "at once": how}
        fields = {"outbox": shown_url(url), "batch": settings.batch, "concurrency": settings.concurrency}
        show_banner(chosen, lines, fields, as_json=log_format == "json", what="relay")
        code = service.run()
    raise SystemExit(code)
