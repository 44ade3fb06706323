"""`cloudq doctor`: what is set up, held against what the code asks for. It only reads.

`catalogue` has every fault that is known, as data: what it is, what it leads to, what fixes it. `queue_law` and
`lambda_law` say which settings are one, and are the law of `queues check` and `terraform check`, too. The other modules
look: at queues, at what AWS runs beside them, at rights, ages, store and outbox, at this program and this machine.
`examination` has them look; `command` says what they found.
"""
