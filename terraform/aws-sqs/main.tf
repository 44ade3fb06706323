data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  # `region` is the provider's name for it from version 6 on; `id` is the same in all.
  region = data.aws_region.current.id

  queues = {
    for name, queue in var.queues : name => merge(queue, {
      fifo              = endswith(name, ".fifo")
      native            = "${var.prefix}${name}"
      dead              = endswith(name, ".fifo") ? "${var.prefix}${trimsuffix(name, ".fifo")}-dlq.fifo" : "${var.prefix}${name}-dlq"
      max_receive_count = coalesce(queue.max_receive_count, endswith(name, ".fifo") ? 100 : 21)
    })
  }

  # Put together here, not read from the queues: a queue and its dead-letter queue name each other.
  arn_start = "arn:${local.partition}:sqs:${local.region}:${local.account}:"
  arns      = { for name, queue in local.queues : name => "${local.arn_start}${queue.native}" }
  dead_arns = { for name, queue in local.queues : name => "${local.arn_start}${queue.dead}" }

  role_name     = "${var.name}-scheduler"
  scheduler_arn = "arn:${local.partition}:iam::${local.account}:role/${local.role_name}"

  table_name = var.idempotency_table == null ? "" : coalesce(var.idempotency_table.name, "${var.name}-idempotency")
  table_arn  = "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${local.table_name}"

  claim_check_url = join("", [for store in var.claim_check[*] : join("", [
    "s3://${store.bucket}",
    store.prefix == "" ? "" : "/${store.prefix}",
    store.deletes ? "?delete=acked" : "",
  ])])

  url = join("", [
    "sqs://${local.region}?account=${local.account}",
    var.prefix == "" ? "" : "&prefix=${var.prefix}",
    var.scheduler ? "&scheduler_role=${urlencode(local.scheduler_arn)}" : "",
  ])
}

resource "aws_sqs_queue" "this" {
  for_each = local.queues

  name       = each.value.native
  fifo_queue = each.value.fifo
  # cloudq gives each message its id itself: the content alone would make two messages one.
  content_based_deduplication = each.value.fifo ? false : null
  deduplication_scope         = each.value.high_throughput ? "messageGroup" : null
  fifo_throughput_limit       = each.value.high_throughput ? "perMessageGroupId" : null

  visibility_timeout_seconds = each.value.visibility_timeout_seconds
  message_retention_seconds  = each.value.retention_seconds
  max_message_size           = each.value.max_message_bytes
  receive_wait_time_seconds  = 20

  sqs_managed_sse_enabled = var.kms_key_arn == null ? true : null
  kms_master_key_id       = var.kms_key_arn

  policy = local.tls_only[local.arns[each.key]]
  redrive_policy = jsonencode({
    deadLetterTargetArn = local.dead_arns[each.key]
    maxReceiveCount     = each.value.max_receive_count
  })

  tags = var.tags

  # SQS refuses a redrive policy to a queue that isn't there.
  depends_on = [aws_sqs_queue.dead]
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                        = each.value.dead
  fifo_queue                  = each.value.fifo
  content_based_deduplication = each.value.fifo ? false : null

  message_retention_seconds = 1209600
  # What the queue took has to fit.
  max_message_size          = each.value.max_message_bytes
  receive_wait_time_seconds = 20

  sqs_managed_sse_enabled = var.kms_key_arn == null ? true : null
  kms_master_key_id       = var.kms_key_arn

  policy = local.tls_only[local.dead_arns[each.key]]
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.arns[each.key]]
  })

  tags = var.tags
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = { for name, queue in local.queues : name => queue.lambda if queue.lambda != null }

  event_source_arn                   = aws_sqs_queue.this[each.key].arn
  function_name                      = each.value.function_name
  enabled                            = each.value.enabled
  batch_size                         = each.value.batch_size
  maximum_batching_window_in_seconds = each.value.batching_window_seconds
  # Without it a batch with one failure comes again as a whole.
  function_response_types = ["ReportBatchItemFailures"]

  dynamic "scaling_config" {
    for_each = each.value.maximum_concurrency[*]
    content {
      maximum_concurrency = scaling_config.value
    }
  }
  dynamic "provisioned_poller_config" {
    for_each = each.value.provisioned_pollers[*]
    content {
      minimum_pollers = provisioned_poller_config.value.minimum
      maximum_pollers = provisioned_poller_config.value.maximum
    }
  }

  tags = var.tags
}

resource "aws_dynamodb_table" "idempotency" {
  count = var.idempotency_table == null ? 0 : 1

  name                        = local.table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "id"
  deletion_protection_enabled = var.idempotency_table.deletion_protection

  attribute {
    name = "id"
    type = "S"
  }
  # In seconds since 1970. Deleting is late, by days: who reads has to look at it, too.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  # Without a key of yours: with the account's own for DynamoDB, which shows in its trail.
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags
}
