resource "google_cloud_run_v2_worker_pool" "worker" {
  project  = var.project_id
  location = "europe-west1"
  name     = "shop-worker"

  scaling {
    manual_instance_count = var.workers
  }

  template {
    service_account = google_service_account.worker.email

    containers {
      image = var.image
      # Cloud Run waits 10 seconds, which can't be changed; an idle poll of SQS has to fit in, too.
      args = ["cloudq", "worker", "--grace", "7", "--wait", "5", "--health", "8080", "--log-format", "json"]

      dynamic "env" {
        for_each = merge(module.queues.environment, {
          AWS_CONFIG_FILE = "/srv/aws.ini"
          AWS_ROLE        = aws_iam_role.worker.arn
        })
        content {
          name  = env.key
          value = env.value
        }
      }
      resources {
        limits = { cpu = "1", memory = "512Mi" }
      }
      startup_probe {
        http_get {
          path = "/healthz"
          port = 8080
        }
      }
      liveness_probe {
        period_seconds    = 10
        failure_threshold = 6
        http_get {
          path = "/healthz"
          port = 8080
        }
      }
    }
  }

  # A worker without its rights would only log refusals.
  depends_on = [aws_iam_role_policy_attachment.worker]
}
