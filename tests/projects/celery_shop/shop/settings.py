"""Settings, by Celery's lower-case names."""

broker_url = "memory://"
timezone = "Europe/Berlin"
task_serializer = "json"
accept_content = ["json"]
task_default_queue = "shop"
task_routes = {"shop.tasks.resize": {"queue": "media"}, "shop.tasks.mail_*": {"queue": "mail"}}
task_soft_time_limit = 600
result_expires = 3600
