resource "google_service_account" "worker" {
  project      = var.project_id
  account_id   = "shop-worker"
  display_name = "shop: the worker"
}

resource "google_cloud_run_v2_service" "worker" {
  project  = var.project_id
  location = local.location
  name     = local.service
  # Cloud Tasks of this project counts as internal.
  ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY"

  template {
    service_account = google_service_account.worker.email
    # As long as Cloud Tasks waits; a task's time_limit has to be shorter.
    timeout = "1800s"
    # As many run, as many wait for their turn.
    max_instance_request_concurrency = 2 * local.at_once

    scaling {
      min_instance_count = 0
      max_instance_count = local.instances
    }

    containers {
      image = var.image
      # Cloud Run lets in the module's invoker alone and takes the token's signature off: --verified-in-front.
      # It waits 10 seconds after SIGTERM, which can't be changed: --grace 7.
      args = [
        "cloudq", "worker", "--concurrency", tostring(local.at_once), "--grace", "7",
        "--verified-in-front", "--log-format", "json",
      ]

      dynamic "env" {
        for_each = module.queues.environment
        content {
          name  = env.key
          value = env.value
        }
      }
      ports {
        container_port = 8080
      }
      resources {
        limits = { cpu = "1", memory = "512Mi" }
      }
      startup_probe {
        http_get {
          path = "/healthz"
        }
      }
      liveness_probe {
        period_seconds    = 10
        failure_threshold = 6
        http_get {
          path = "/healthz"
        }
      }
    }
  }
}
