"""Faults that are seeded into the modules, one at a time; each has to be caught by `validate` or `test`."""

# A fault is a line.
# fmt: off

from __future__ import annotations

from typing import Final, NamedTuple


class Fault(NamedTuple):
    """A fault.

    Attributes:
        says: What is wrong, in words.
        file: In which file of the module.
        old: What is replaced, in its first place there.
        new: By what.
        caught_by: A part of what Terraform says then.
    """

    says: str
    file: str
    old: str
    new: str
    caught_by: str


AWS: Final = (
    Fault("misspelt attribute", "main.tf", "receive_wait_time_seconds", "receive_wait_seconds", "Unsupported argument"),
    Fault("wrong type", "main.tf", "message_retention_seconds = 1209600", "message_retention_seconds = [14]", "Inap"),
    Fault("dropped required", "policies.tf", "  policy      = each.value\n", "", "Missing required argument"),
    Fault("read-only set", "main.tf", "  tags = var.tags", '  arn = "x"\n  tags = var.tags', "unconfigurable"),
    Fault("unknown block", "main.tf", 'dynamic "scaling_config"', 'dynamic "scaling"', "Unsupported block type"),
    Fault("unknown reference", "main.tf", "local.dead_arns[each.key]", "local.dlq_arns[each.key]", "undeclared local"),
    Fault("widened action", "policies.tf", 'Action   = "sqs:SendMessage"', 'Action   = "sqs:*"', "A producer sends"),
    Fault(
        "worker may purge", "policies.tf", '"sqs:ReceiveMessage"]', '"sqs:ReceiveMessage", "sqs:PurgeQueue"]', "A wo"
    ),
    Fault("all resources", "policies.tf", "Resource = values(local.dead_arns)", 'Resource = "*"', "An operator counts"),
    Fault("everybody let in", "policies.tf", '"Deny"', '"Allow"', "nobody is let in"),
    Fault(
        "plain HTTP", "policies.tf", '"aws:SecureTransport" = "false"', '"aws:SecureTransport" = "true"', "Plain HTTP"
    ),
    Fault(
        "no dead-letter queue",
        "main.tf",
        "deadLetterTargetArn = local.dead_arns",
        "deadLetterTargetArn = local.arns",
        "backstop",
    ),
    Fault("no encryption", "main.tf", "== null ? true : null", "== null ? false : null", "All queues are encrypted"),
    Fault("short dead letters", "main.tf", "= 1209600", "= 345600", "Dead letters are kept for 14 days"),
    Fault(
        "small dead letters",
        "main.tf",
        "max_message_size          = each.value.max_message_bytes",
        "max_message_size = 262144",
        "1 MiB",
    ),
    Fault("whole batches fail", "main.tf", '["ReportBatchItemFailures"]', "[]", "one by one"),
    Fault("any queue may redrive", "main.tf", '"byQueue"', '"allowAll"', "Only its queue"),
    Fault(
        "confused deputy",
        "policies.tf",
        'Condition = { StringEquals = { "aws:SourceAccount" = local.account } }',
        "",
        'attribute named "Condition"',
    ),
    Fault(
        "role not encoded", "main.tf", "${urlencode(local.scheduler_arn)}", "${local.scheduler_arn}", "percent-encoded"
    ),
    Fault(
        "silent alarm",
        "alarms.tf",
        "alarm_actions       = var.alarm_actions",
        "alarm_actions       = []",
        "tells the topic",
    ),
    Fault("keys kept for ever", "main.tf", '"expires_at"', '"expires"', "What has expired is deleted"),
    Fault("no way back", "main.tf", "recovery {\n    enabled = true", "recovery {\n    enabled = false", "by a slip"),
    Fault("worker scans", "policies.tf", '"dynamodb:GetItem", "dyn', '"dynamodb:Scan", "dyn', "of the one table"),
    Fault("all buckets", "policies.tf", "s3:::${store.bucket}/${", "s3:::*/${", "A producer stores payloads"),
    Fault("producer reads", "policies.tf", '"s3:PutObject"', '["s3:PutObject", "s3:GetObject"]', "and reads none"),
    Fault("two stores", "main.tf", '"/${store.prefix}"', '""', "Sender and worker name one store"),
    Fault("backstop too early", "main.tf", '".fifo") ? 100 : 21', '".fifo") ? 100 : 20', "The backstop is 21"),
    Fault("any prefix", "variables.tf", "^([A-Za-z0-9_.-]+(/", "^(.+(/", "Missing expected failure"),
    Fault("no least lease", "variables.tf", "6 * queue.lambda", "1 * queue.lambda", "Missing expected failure"),
    Fault("low backstop", "variables.tf", '".fifo") ? 100 : 11)', '".fifo") ? 1 : 1)', "Missing expected failure"),
)

GOOGLE: Final = (
    Fault("misspelt attribute", "main.tf", "max_retry_duration", "max_retry_time", "Unsupported argument"),
    Fault(
        "wrong type", "main.tf", "max_attempts       = -1", 'max_attempts       = "without end"', "a number is required"
    ),
    Fault("dropped required", "main.tf", "  account_id   = var.invoker_account_id\n", "", "Missing required argument"),
    Fault("read-only set", "main.tf", '  desired_state = "PAUSED"', '  state = "PAUSED"', "unconfigurable"),
    Fault("unknown block", "main.tf", "rate_limits {", "limits {", "Unsupported block type"),
    Fault("unknown reference", "permissions.tf", "= local.producing", "= local.sending", "undeclared local"),
    Fault("running dead letters", "main.tf", '"PAUSED"', '"RUNNING"', "it pushes nothing"),
    Fault("tasks deleted", "main.tf", "max_attempts       = -1", "max_attempts       = 100", "deletes nothing"),
    Fault("wrong dead-letter queue", "main.tf", "${name}-dlq", "${name}-dead", "the one that cloudq looks for"),
    Fault("widened role", "permissions.tf", "roles/cloudtasks.enqueuer", "roles/cloudtasks.admin", "A producer sends"),
    Fault(
        "widened permissions",
        "permissions.tf",
        '"cloudtasks.queues.get"]',
        '"cloudtasks.queues.delete"]',
        "The role is what",
    ),
    Fault(
        "worker without dead letters",
        "permissions.tf",
        "setproduct(keys(local.all_natives), keys(var.workers))",
        "setproduct(keys(local.natives), keys(var.workers))",
        "retries and dead letters",
    ),
    Fault(
        "nobody acts as the invoker",
        "permissions.tf",
        "roles/iam.serviceAccountUser",
        "roles/iam.serviceAccountTokenCreator",
        "as no other account",
    ),
    Fault(
        "everybody calls the worker",
        "main.tf",
        '"serviceAccount:${google_service_account.invoker.email}"',
        '"allUsers"',
        "nobody else",
    ),
    Fault("target not encoded", "main.tf", "${urlencode(var.target)}", "${var.target}", "The URL names the place"),
    Fault("lateness in seconds", "alerts.tf", " * 1000", "", "in milliseconds"),
    Fault("alert on the wrong queue", "alerts.tf", "${queue.dead}", "${queue.native}", "The first dead letter rings"),
    Fault("plain HTTP", "variables.tf", "^https://", "^https?://", "Missing expected failure"),
    Fault(
        "short back-off",
        "variables.tf",
        "max_backoff_seconds >= 60",
        "max_backoff_seconds >= 1",
        "Missing expected failure",
    ),
    Fault(
        "all users",
        "variables.tf",
        "^(serviceAccount|user|group|principal|principalSet):.+",
        ".+",
        "Missing expected failure",
    ),
)

AZURE: Final = (
    Fault("misspelt attribute", "main.tf", "max_delivery_count    =", "max_deliveries =", "Unsupported argument"),
    Fault(
        "wrong type",
        "main.tf",
        "requires_session      = each.value.sessions",
        'requires_session = "where ordered"',
        "a bool is required",
    ),
    Fault(
        "dropped required",
        "main.tf",
        "  namespace_id = azurerm_servicebus_namespace.this.id\n",
        "",
        "Missing required argument",
    ),
    Fault("read-only set", "main.tf", "  tags = var.tags", '  endpoint = "x"\n  tags = var.tags', "unconfigurable"),
    Fault(
        "unknown block",
        "main.tf",
        'dynamic "network_rule_set"',
        'dynamic "network_rules_set"',
        "Unsupported block type",
    ),
    Fault("unknown reference", "permissions.tf", "= local.grants", "= local.roles", "undeclared local"),
    Fault("keys", "main.tf", "local_auth_enabled            = false", "local_auth_enabled = true", "There are no keys"),
    Fault("old TLS", "main.tf", '"1.2"', '"1.0"', "TLS is 1.2"),
    Fault("no sessions", "main.tf", 'endswith(name, ".fifo")', "false", "Sessions are where order is"),
    Fault("expired messages lost", "main.tf", "expiration = true", "expiration = false", "nobody took in time"),
    Fault(
        "durations in seconds",
        "main.tf",
        "M = floor(all / 60) % 60, S = all % 60",
        "S = all % 3600",
        "A lock is five minutes",
    ),
    Fault(
        "widened role",
        "permissions.tf",
        '["Azure Service Bus Data Sender"]',
        '["Azure Service Bus Data Owner"]',
        "A producer sends",
    ),
    Fault(
        "worker can't retry", "permissions.tf", ', "Azure Service Bus Data Sender"]', "]", "a worker receives and sends"
    ),
    Fault(
        "roles on the namespace",
        "permissions.tf",
        "azurerm_servicebus_queue.this[each.value.queue].id",
        "azurerm_servicebus_namespace.this.id",
        "not on the namespace",
    ),
    Fault("open network", "main.tf", '"Deny"', '"Allow"', "All others are refused"),
    Fault(
        "message size in kilobytes", "main.tf", "max_message_kilobytes * 1024", "max_message_kilobytes * 1", "in bytes"
    ),
    Fault("alert on all queues", "alerts.tf", "[each.value.native]", '["*"]', "about one queue"),
    Fault(
        "Basic",
        "variables.tf",
        '["Standard", "Premium"]',
        '["Basic", "Standard", "Premium"]',
        "Missing expected failure",
    ),
    Fault(
        "long lock",
        "variables.tf",
        "queue.lock_seconds <= 300",
        "queue.lock_seconds <= 900",
        "Missing expected failure",
    ),
    Fault(
        "low backstop",
        "variables.tf",
        "queue.max_delivery_count >= 11",
        "queue.max_delivery_count >= 1",
        "Missing expected failure",
    ),
)

FAULTS: Final = {"aws-sqs": AWS, "google-cloud-tasks": GOOGLE, "azure-service-bus": AZURE}
