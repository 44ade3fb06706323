"""cloudq within Starlette and FastAPI: a lifespan, the App of a request, and background tasks that are stored.

```python
from typing import Annotated

import cloudq
from fastapi import Depends, FastAPI

from cloudq.integrations.starlette import get_app, lifespan

app = cloudq.App("sqlite:///shop.db")


@app.task
def welcome(user_id: int) -> None: ...


web = FastAPI(lifespan=lifespan(app))


@web.post("/users/{user_id}", status_code=202)
async def join(user_id: int, queue: Annotated[cloudq.App, Depends(get_app)]) -> dict[str, str]:
    return {"message": (await queue.asend(welcome, {"user_id": user_id})).id}
```

Needs `cloudq[starlette]`. Nothing here knows FastAPI: what Starlette gives is enough.
"""

from __future__ import annotations

from cloudq.integrations.starlette.background import BackgroundTask, BackgroundTasks, background_tasks
from cloudq.integrations.starlette.server_life import get_app, lifespan, opened

__all__ = ["BackgroundTask", "BackgroundTasks", "background_tasks", "get_app", "lifespan", "opened"]
