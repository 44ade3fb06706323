terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7"
    }
  }
}

module "queues" {
  source = "../.."

  project_id = "my-project"
  location   = "europe-west1"
  target     = "https://worker.example/"
  queues = {
    default = {}
  }
}

output "cloudq_url" {
  value = module.queues.cloudq_url
}
