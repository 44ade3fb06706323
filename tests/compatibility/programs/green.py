"""Has gevent or eventlet patch this process, as their users do first of all, then sends from greenlets or is `cloudq`.

green.py gevent send 50
green.py eventlet worker --app shop:app
"""

from __future__ import annotations

import sys
import warnings

library, command, *arguments = sys.argv[1:]
if library == "gevent":
    from gevent import monkey

    monkey.patch_all()
else:
    warnings.simplefilter("ignore")  # eventlet's own, that it is deprecated
    import eventlet

    eventlet.monkey_patch()

if command == "send":
    from concurrent.futures import ThreadPoolExecutor  # of greenlets, here

    from shop import ok

    count = int(arguments[0])
    with ThreadPoolExecutor(count) as pool:
        sent = list(pool.map(lambda n: ok.send(n=n), range(count)))
    print(len({one.id for one in sent}))
else:
    from cloudq.cli import main

    main([command, *arguments])
