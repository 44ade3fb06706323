terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7"
    }
  }
}

variable "project_id" {
  description = "The project."
  type        = string
  default     = "my-project"
}

module "queues" {
  source = "../.."

  project_id = var.project_id
  location   = "europe-west1"
  prefix     = "prod-"
  target     = "https://shop-worker-abc123-ew.a.run.app/tasks/?from=queue"
  audience   = "https://shop-worker-abc123-ew.a.run.app/"

  queues = {
    emails = {
      max_concurrent_dispatches = 20
      log_sampling_ratio        = 0.1
    }
    reports = {
      max_concurrent_dispatches = 4
      max_dispatches_per_second = 1
      lateness_alert_seconds    = 3600
    }
  }

  queue_level_token = true
  run_service       = { name = "shop-worker" }

  producers            = { web = "serviceAccount:web@${var.project_id}.iam.gserviceaccount.com" }
  workers              = { worker = "serviceAccount:worker@${var.project_id}.iam.gserviceaccount.com" }
  operators            = { on_call = "group:on-call@shop.example" }
  producers_may_cancel = true
  operators_may_purge  = true

  notification_channels = ["projects/${var.project_id}/notificationChannels/1234"]
  labels                = { service = "shop" }
}

output "environment" {
  value = module.queues.environment
}
