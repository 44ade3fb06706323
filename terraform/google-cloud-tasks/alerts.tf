locals {
  of_queue = { for name, queue in local.queues : name => "resource.type = \"cloud_tasks_queue\" AND resource.labels.queue_id = \"${queue.native}\"" }
  of_dead  = { for name, queue in local.queues : name => "resource.type = \"cloud_tasks_queue\" AND resource.labels.queue_id = \"${queue.dead}\"" }

  # A policy has the conditions of one queue, so that it can be silenced alone.
  conditions = {
    for name, queue in local.queues : name => {
      "dead letters" = {
        filter    = "metric.type = \"cloudtasks.googleapis.com/queue/depth\" AND ${local.of_dead[name]}"
        threshold = 0
        aligner   = "ALIGN_MAX"
        duration  = "0s"
      }
      "backlog" = {
        filter    = "metric.type = \"cloudtasks.googleapis.com/queue/depth\" AND ${local.of_queue[name]}"
        threshold = queue.depth_alert
        aligner   = "ALIGN_MIN"
        duration  = "300s"
      }
      # Cloud Tasks has no age of the oldest task; how late pushes start says the same.
      "lateness" = {
        filter    = "metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND ${local.of_queue[name]}"
        threshold = queue.lateness_alert_seconds * 1000
        aligner   = "ALIGN_PERCENTILE_99"
        duration  = "0s"
      }
      # Failing tasks are answered with 200: these are pushes that nobody took.
      "failed attempts" = {
        filter    = "metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_count\" AND ${local.of_queue[name]} AND metric.labels.response_code != monitoring.regex.full_match(\"(?i)ok|2[0-9][0-9]\")"
        threshold = queue.failed_attempts_alert
        aligner   = "ALIGN_DELTA"
        duration  = "0s"
      }
    }
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.queues

  project               = var.project_id
  display_name          = "cloudq: ${each.value.native}"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = local.conditions[each.key]
    content {
      display_name = "${each.value.native}: ${conditions.key}"
      condition_threshold {
        filter          = conditions.value.filter
        comparison      = "COMPARISON_GT"
        threshold_value = conditions.value.threshold
        duration        = conditions.value.duration
        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = conditions.value.aligner
          cross_series_reducer = conditions.value.aligner == "ALIGN_DELTA" ? "REDUCE_SUM" : "REDUCE_MAX"
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Dead letters: `cloudq dlq list ${each.key}`. A backlog or lateness: too few workers, or a slow one. Failed attempts: nobody answers at ${var.target}."
  }
}
