# Without credentials: nothing is made.
mock_provider "aws" {
  override_during = plan
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
}

variables {
  queues = { emails = {}, "orders.fifo" = {} }
}

run "a_minimal_call_is_safe" {
  command = plan

  assert {
    condition     = aws_sqs_queue.this["emails"].name == "emails" && aws_sqs_queue.dead["emails"].name == "emails-dlq"
    error_message = "A queue has its own name, its dead-letter queue the one that cloudq looks for."
  }
  assert {
    condition     = aws_sqs_queue.this["orders.fifo"].fifo_queue && aws_sqs_queue.dead["orders.fifo"].name == "orders-dlq.fifo" && aws_sqs_queue.dead["orders.fifo"].fifo_queue
    error_message = "A FIFO queue's dead-letter queue is one, too."
  }
  assert {
    condition     = !aws_sqs_queue.this["orders.fifo"].content_based_deduplication && aws_sqs_queue.this["emails"].fifo_queue == false
    error_message = "Messages of equal content are two messages."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["emails"].redrive_policy) == { deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:emails-dlq", maxReceiveCount = 21 }
    error_message = "The backstop is 21 receives, one more than the default policy has, then the dead-letter queue."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["orders.fifo"].redrive_policy).maxReceiveCount == 100
    error_message = "On a FIFO queue it is 100 receives."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.dead["emails"].redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = ["arn:aws:sqs:eu-west-1:123456789012:emails"] }
    error_message = "Only its queue may use a dead-letter queue."
  }
  assert {
    condition     = aws_sqs_queue.dead["emails"].message_retention_seconds == 1209600 && aws_sqs_queue.this["emails"].message_retention_seconds == 1123200
    error_message = "Dead letters are kept for 14 days, longer than messages."
  }
  assert {
    condition     = aws_sqs_queue.this["emails"].max_message_size == 1048576 && aws_sqs_queue.dead["emails"].max_message_size == 1048576
    error_message = "Queue and dead-letter queue take 1 MiB."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead)) : queue.sqs_managed_sse_enabled && queue.kms_master_key_id == null])
    error_message = "All queues are encrypted."
  }
  assert {
    condition = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead)) :
      jsondecode(queue.policy).Statement[0].Effect == "Deny" && jsondecode(queue.policy).Statement[0].Condition == { Bool = { "aws:SecureTransport" = "false" } } && length(jsondecode(queue.policy).Statement) == 1
    ])
    error_message = "Plain HTTP is refused, and nobody is let in by a queue's own policy."
  }
  assert {
    condition     = aws_sqs_queue.this["emails"].visibility_timeout_seconds == 120 && aws_sqs_queue.this["emails"].receive_wait_time_seconds == 20
    error_message = "A lease is two minutes, a poll is long."
  }
  assert {
    condition     = length(aws_lambda_event_source_mapping.this) == 0 && length(aws_iam_role.scheduler) == 0 && length(aws_dynamodb_table.idempotency) == 0 && output.idempotency_table == null
    error_message = "Nothing is made that wasn't asked for."
  }
  assert {
    condition     = output.cloudq_url == "sqs://eu-west-1?account=123456789012" && output.environment.CLOUDQ_URL == output.cloudq_url
    error_message = "The URL names region and account."
  }
}

run "a_prefix_and_a_key" {
  command = plan

  variables {
    prefix      = "prod-"
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    queues      = { "orders.fifo" = { high_throughput = true, max_receive_count = 300 } }
  }

  assert {
    condition     = aws_sqs_queue.this["orders.fifo"].name == "prod-orders.fifo" && output.queues["orders.fifo"].dead_letter_name == "prod-orders-dlq.fifo"
    error_message = "The prefix is before both names."
  }
  assert {
    condition     = aws_sqs_queue.this["orders.fifo"].kms_master_key_id == var.kms_key_arn && aws_sqs_queue.dead["orders.fifo"].kms_master_key_id == var.kms_key_arn
    error_message = "The key encrypts queue and dead letters."
  }
  assert {
    condition     = aws_sqs_queue.this["orders.fifo"].fifo_throughput_limit == "perMessageGroupId" && aws_sqs_queue.this["orders.fifo"].deduplication_scope == "messageGroup"
    error_message = "High throughput is by message group."
  }
  assert {
    condition     = alltrue([for document in values(output.policy_documents) : contains([for statement in jsondecode(document).Statement : statement.Sid], "UseTheKey")])
    error_message = "Each policy has the key's grants."
  }
  assert {
    condition     = output.cloudq_url == "sqs://eu-west-1?account=123456789012&prefix=prod-"
    error_message = "The URL has the prefix."
  }
}

run "alarms" {
  command = plan

  variables {
    alarm_actions = ["arn:aws:sns:eu-west-1:123456789012:on-call"]
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.dead_letters["emails"].dimensions == tomap({ QueueName = "emails-dlq" }) && aws_cloudwatch_metric_alarm.dead_letters["emails"].threshold == 0
    error_message = "The first dead letter rings."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.oldest_age["emails"].metric_name == "ApproximateAgeOfOldestMessage" && aws_cloudwatch_metric_alarm.oldest_age["emails"].dimensions == tomap({ QueueName = "emails" })
    error_message = "The oldest message's age is the queue's."
  }
  assert {
    condition     = toset([for query in aws_cloudwatch_metric_alarm.unfinished_receives["emails"].metric_query : query.id]) == toset(["unfinished", "received", "deleted"])
    error_message = "What was received three times is seen by receives against deletions."
  }
  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.dead_letters), values(aws_cloudwatch_metric_alarm.oldest_age), values(aws_cloudwatch_metric_alarm.unfinished_receives)) : tolist(alarm.alarm_actions) == var.alarm_actions && tolist(alarm.ok_actions) == var.alarm_actions])
    error_message = "Each alarm tells the topic."
  }
}

run "lambda" {
  command = plan

  variables {
    queues = {
      thumbnails = {
        visibility_timeout_seconds = 720
        lambda                     = { function_name = "thumbnails", function_timeout_seconds = 120, maximum_concurrency = 50, enabled = false }
      }
      imports = {
        visibility_timeout_seconds = 10800
        lambda                     = { function_name = "imports", function_timeout_seconds = 1800, provisioned_pollers = { maximum = 20 } }
      }
    }
  }

  assert {
    condition     = alltrue([for mapping in values(aws_lambda_event_source_mapping.this) : tolist(mapping.function_response_types) == tolist(["ReportBatchItemFailures"])])
    error_message = "A batch's failures are reported one by one."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.this["thumbnails"].scaling_config[0].maximum_concurrency == 50 && length(aws_lambda_event_source_mapping.this["thumbnails"].provisioned_poller_config) == 0
    error_message = "The concurrency is bounded."
  }
  assert {
    condition     = !aws_lambda_event_source_mapping.this["thumbnails"].enabled && aws_lambda_event_source_mapping.this["imports"].enabled
    error_message = "A mapping rests where that is asked for."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.this["imports"].provisioned_poller_config[0].maximum_pollers == 20 && aws_lambda_event_source_mapping.this["imports"].provisioned_poller_config[0].minimum_pollers == 2 && length(aws_lambda_event_source_mapping.this["imports"].scaling_config) == 0
    error_message = "The pollers are provisioned."
  }
}

run "a_table" {
  command = plan

  variables {
    name              = "shop"
    idempotency_table = {}
  }

  assert {
    condition     = aws_dynamodb_table.idempotency[0].name == "shop-idempotency" && output.idempotency_table.name == "shop-idempotency" && output.idempotency_table.arn == "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-idempotency"
    error_message = "The table has the module's name, and the outputs say it."
  }
  assert {
    condition     = aws_dynamodb_table.idempotency[0].hash_key == "id" && aws_dynamodb_table.idempotency[0].range_key == null && one(aws_dynamodb_table.idempotency[0].attribute).type == "S"
    error_message = "A key is a text, and all there is to an item's key."
  }
  assert {
    condition     = aws_dynamodb_table.idempotency[0].ttl[0].attribute_name == "expires_at" && aws_dynamodb_table.idempotency[0].ttl[0].enabled
    error_message = "What has expired is deleted."
  }
  assert {
    condition     = aws_dynamodb_table.idempotency[0].point_in_time_recovery[0].enabled && aws_dynamodb_table.idempotency[0].deletion_protection_enabled
    error_message = "Keys aren't lost by a slip."
  }
  assert {
    condition     = aws_dynamodb_table.idempotency[0].server_side_encryption[0].enabled && aws_dynamodb_table.idempotency[0].billing_mode == "PAY_PER_REQUEST"
    error_message = "The table is encrypted, and costs nothing while idle."
  }
}

run "a_table_of_ones_own" {
  command = plan

  variables {
    kms_key_arn       = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    idempotency_table = { name = "keys", deletion_protection = false }
  }

  assert {
    condition     = aws_dynamodb_table.idempotency[0].name == "keys" && !aws_dynamodb_table.idempotency[0].deletion_protection_enabled && aws_dynamodb_table.idempotency[0].server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "Name, protection and key are as asked."
  }
}
