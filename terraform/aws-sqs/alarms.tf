resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.queues

  alarm_name          = "${var.name}-${each.value.native}-dead-letters"
  alarm_description   = "There are dead letters of ${each.key}: cloudq dlq list ${each.key}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.dead }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching" # SQS sends nothing of a queue that is idle
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "oldest_age" {
  for_each = local.queues

  alarm_name          = "${var.name}-${each.value.native}-oldest-age"
  alarm_description   = "Messages of ${each.key} wait for too long: too few workers, or none."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.native }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.oldest_age_alarm_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

# What was received three times leaves the age of the oldest message (SQS, "Available CloudWatch metrics"): a storm of
# retries or a message that kills its workers is seen by receives without a deletion only.
resource "aws_cloudwatch_metric_alarm" "unfinished_receives" {
  for_each = local.queues

  alarm_name          = "${var.name}-${each.value.native}-unfinished-receives"
  alarm_description   = "Messages of ${each.key} are received and not finished, again and again: workers die, or tasks are retried."
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.unfinished_receives_alarm
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "unfinished"
    expression  = "FILL(received, 0) - FILL(deleted, 0)"
    label       = "received and not deleted"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { received = "NumberOfMessagesReceived", deleted = "NumberOfMessagesDeleted" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        dimensions  = { QueueName = each.value.native }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}
