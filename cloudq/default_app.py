"""The default App, for programs that want no object of their own, and its methods as functions."""

from __future__ import annotations

from cloudq.app import App

default = App()

task = default.task
send = default.send
asend = default.asend
send_many = default.send_many
asend_many = default.asend_many
cancel = default.cancel
acancel = default.acancel
result = default.result
aresult = default.aresult
cancel_run = default.cancel_run
acancel_run = default.acancel_run
configure = default.configure
eager = default.eager
outbox_in = default.outbox
on_start = default.on_start
on_stop = default.on_stop
on_dead = default.on_dead
