"""The bridge for the day of the switch: what waits in Celery's old queue becomes messages of cloudq.

```
 Redis: lists, `unacked` ┐                                        ┌─ stored by the app, then taken out of the old queue
                         ├─ OldQueue ─ read() ─ Mapper ─ Message ─┤
 SQS: under a lease      ┘                  │                     └─ refused ─┐
                                            └─ Stays: why ────────────────────┴─ stays in the old queue, and is listed
```

A message is stored first and taken out afterwards, so that a bridge that dies repeats a few, and loses none
([decision 86](../../../../docs/decisions/0086-the-bridge-takes-what-is-stored.md)).
"""
