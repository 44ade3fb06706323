"""cloudq within Flask: an extension, an application context around each task, `flask cloudq worker`, and pushes.

```python
from flask import Flask

from cloudq.integrations.flask import Cloudq

queue = Cloudq()


def create_app() -> Flask:
    web = Flask("shop")
    web.config["CLOUDQ_URL"] = "sqlite:///shop.db"
    queue.init_app(web)
    return web
```

Needs `cloudq[flask]`.
"""

from __future__ import annotations

from cloudq.integrations.flask.extension import Cloudq

__all__ = ["Cloudq"]
