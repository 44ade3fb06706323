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

variable "image" {
  description = "The worker's image, with its tag or digest."
  type        = string
  default     = "europe-west1-docker.pkg.dev/my-project/shop/worker:1"
}

data "google_project" "this" {
  project_id = var.project_id
}

locals {
  location = "europe-west1"
  service  = "shop-worker"
  # Cloud Run's own address for it, put together here: the service's environment names it, too.
  address = "https://${local.service}-${data.google_project.this.number}.${local.location}.run.app/"

  at_once   = 10 # tasks in one instance
  instances = 10 # at most
}

module "queues" {
  source = "../.."

  project_id = var.project_id
  location   = local.location
  prefix     = "prod-"
  target     = local.address
  queues = {
    # All that the workers can run, and no more: what is above it would be refused and come again.
    emails = { max_concurrent_dispatches = local.at_once * local.instances }
  }

  run_service = { name = google_cloud_run_v2_service.worker.name }
  workers     = { worker = google_service_account.worker.member }
}
