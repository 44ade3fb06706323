# Without credentials: nothing is made.
mock_provider "google" {
  override_during = plan
  mock_resource "google_service_account" {
    defaults = {
      email = "cloudq-invoker@my-project.iam.gserviceaccount.com"
      name  = "projects/my-project/serviceAccounts/cloudq-invoker@my-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "my-project"
  location   = "europe-west1"
  target     = "https://worker.example/"
  queues     = { emails = {} }
}

run "a_minimal_call_is_safe" {
  command = plan

  assert {
    condition     = google_cloud_tasks_queue.this["emails"].name == "emails" && google_cloud_tasks_queue.dead["emails"].name == "emails-dlq"
    error_message = "A queue has its own name, its dead-letter queue the one that cloudq looks for."
  }
  assert {
    condition     = google_cloud_tasks_queue.dead["emails"].desired_state == "PAUSED"
    error_message = "The dead-letter queue is paused: it pushes nothing."
  }
  assert {
    condition     = alltrue([for queue in [google_cloud_tasks_queue.this["emails"], google_cloud_tasks_queue.dead["emails"]] : queue.retry_config[0].max_attempts == -1 && queue.retry_config[0].max_retry_duration == "0s"])
    error_message = "Cloud Tasks deletes nothing after some attempts, or some time."
  }
  assert {
    condition     = google_cloud_tasks_queue.this["emails"].retry_config[0].min_backoff == "1s" && google_cloud_tasks_queue.this["emails"].retry_config[0].max_backoff == "300s"
    error_message = "The back-off is 1 to 300 seconds."
  }
  assert {
    condition     = google_cloud_tasks_queue.this["emails"].rate_limits[0].max_concurrent_dispatches == 100 && google_cloud_tasks_queue.this["emails"].rate_limits[0].max_dispatches_per_second == 500
    error_message = "A hundred pushes at once."
  }
  assert {
    condition     = length(google_cloud_tasks_queue.this["emails"].http_target) == 0 && length(google_cloud_tasks_queue.this["emails"].stackdriver_logging_config) == 0
    error_message = "A queue overrides no task's target, and logs nothing, unless asked to."
  }
  assert {
    condition = (length(google_cloud_tasks_queue_iam_member.producer) + length(google_cloud_tasks_queue_iam_member.worker) + length(google_cloud_tasks_queue_iam_member.operator) +
    length(google_project_iam_custom_role.operator) + length(google_service_account_iam_member.acting) + length(google_cloud_run_v2_service_iam_member.invoker)) == 0
    error_message = "Nobody is let in who isn't named."
  }
  assert {
    condition     = output.cloudq_url == "cloudtasks://my-project/europe-west1?target=https%3A%2F%2Fworker.example%2F&service_account=cloudq-invoker%40my-project.iam.gserviceaccount.com"
    error_message = "The URL names the place, the target and the account."
  }
  assert {
    condition     = output.environment == { CLOUDQ_URL = output.cloudq_url } && output.operator_role == null
    error_message = "The environment is the URL."
  }
}

run "alerts" {
  command = plan

  variables {
    prefix                = "prod-"
    notification_channels = ["projects/my-project/notificationChannels/1"]
  }

  assert {
    condition     = [for condition in google_monitoring_alert_policy.this["emails"].conditions : condition.display_name] == ["prod-emails: backlog", "prod-emails: dead letters", "prod-emails: failed attempts", "prod-emails: lateness"]
    error_message = "A queue's alerts are four."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["emails"].conditions[1].condition_threshold[0].filter == "metric.type = \"cloudtasks.googleapis.com/queue/depth\" AND resource.type = \"cloud_tasks_queue\" AND resource.labels.queue_id = \"prod-emails-dlq\"" && google_monitoring_alert_policy.this["emails"].conditions[1].condition_threshold[0].threshold_value == 0
    error_message = "The first dead letter rings."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["emails"].conditions[3].condition_threshold[0].threshold_value == 900000 && strcontains(google_monitoring_alert_policy.this["emails"].conditions[3].condition_threshold[0].filter, "task_attempt_delays")
    error_message = "Lateness is in milliseconds."
  }
  assert {
    condition     = tolist(google_monitoring_alert_policy.this["emails"].notification_channels) == tolist(var.notification_channels) && google_monitoring_alert_policy.this["emails"].combiner == "OR"
    error_message = "Each of them tells the channel."
  }
  assert {
    condition     = output.queues.emails.dead_letter_name == "prod-emails-dlq" && endswith(output.cloudq_url, "&prefix=prod-")
    error_message = "The prefix is before both names, and in the URL."
  }
}

run "a_queue_level_token" {
  command = plan

  variables {
    queue_level_token = true
    audience          = "https://shop.example/"
    queues            = { emails = { log_sampling_ratio = 0.5 } }
  }

  assert {
    condition     = google_cloud_tasks_queue.this["emails"].http_target[0].oidc_token[0] == { service_account_email = "cloudq-invoker@my-project.iam.gserviceaccount.com", audience = "https://shop.example/" }
    error_message = "The queue's token is the invoker's, for the audience."
  }
  assert {
    condition     = length(google_cloud_tasks_queue.dead["emails"].http_target) == 0 && google_cloud_tasks_queue.this["emails"].stackdriver_logging_config[0].sampling_ratio == 0.5
    error_message = "A dead-letter queue pushes nothing, so it needs no token."
  }
  assert {
    condition     = strcontains(output.cloudq_url, "&audience=https%3A%2F%2Fshop.example%2F")
    error_message = "The URL has the audience."
  }
}

run "a_project_of_a_domain" {
  command = plan

  variables {
    project_id = "example.com:my-project"
  }

  assert {
    condition     = output.invoker_email == "cloudq-invoker@my-project.example.com.iam.gserviceaccount.com"
    error_message = "The account's address has the project's parts the other way round."
  }
}
