locals {
  queues = { for name, queue in var.queues : name => merge(queue, { native = "${var.prefix}${name}", dead = "${var.prefix}${name}-dlq" }) }

  # Put together here rather than read from the account, so that a plan shows the URL.
  invoker = "${var.invoker_account_id}@${local.account_domain}"
  # A project of a company's domain has its parts the other way round: example.com:shop is shop.example.com.
  account_domain = "${join(".", reverse(split(":", var.project_id)))}.iam.gserviceaccount.com"

  url = join("", [
    "cloudtasks://${var.project_id}/${var.location}?target=${urlencode(var.target)}&service_account=${urlencode(local.invoker)}",
    var.audience == null ? "" : "&audience=${urlencode(coalesce(var.audience, "-"))}",
    var.prefix == "" ? "" : "&prefix=${var.prefix}",
  ])
}

resource "google_cloud_tasks_queue" "this" {
  for_each = local.queues

  project  = var.project_id
  location = var.location
  name     = each.value.native

  rate_limits {
    max_concurrent_dispatches = each.value.max_concurrent_dispatches
    max_dispatches_per_second = each.value.max_dispatches_per_second
  }

  retry_config {
    # Without end: after the last attempt Cloud Tasks deletes a task. The retry policy decides.
    max_attempts       = -1
    max_retry_duration = "0s"
    min_backoff        = "${each.value.min_backoff_seconds}s"
    max_backoff        = "${each.value.max_backoff_seconds}s"
    max_doublings      = 16
  }

  dynamic "stackdriver_logging_config" {
    for_each = each.value.log_sampling_ratio > 0 ? [each.value.log_sampling_ratio] : []
    content {
      sampling_ratio = stackdriver_logging_config.value
    }
  }

  dynamic "http_target" {
    for_each = var.queue_level_token ? [1] : []
    content {
      http_method = "POST"
      oidc_token {
        service_account_email = google_service_account.invoker.email
        audience              = coalesce(var.audience, var.target)
      }
    }
  }
}

# A dead letter waits here until somebody looks: paused, so that nothing is pushed.
resource "google_cloud_tasks_queue" "dead" {
  for_each = local.queues

  project       = var.project_id
  location      = var.location
  name          = each.value.dead
  desired_state = "PAUSED"

  retry_config {
    max_attempts       = -1
    max_retry_duration = "0s"
    min_backoff        = "${each.value.min_backoff_seconds}s"
    max_backoff        = "${each.value.max_backoff_seconds}s"
    max_doublings      = 16
  }
}

resource "google_service_account" "invoker" {
  project      = var.project_id
  account_id   = var.invoker_account_id
  display_name = "cloudq: what pushes to the worker"
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = var.run_service == null ? 0 : 1

  project  = var.project_id
  location = coalesce(var.run_service.location, var.location)
  name     = var.run_service.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.invoker.email}"
}
