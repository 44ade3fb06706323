terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.8"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

variable "cluster" {
  description = "The EKS cluster, with the Pod Identity agent and KEDA installed."
  type        = string
  default     = "shop"
}

module "queues" {
  source = "../.."

  name   = "shop"
  prefix = "prod-"
  queues = {
    emails = {}
  }
}

# terraform output -raw config_map | kubectl apply -f -
output "config_map" {
  value = yamlencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "cloudq", namespace = "shop" }
    data       = module.queues.environment
  })
}

# For scaling.yaml.
output "queue_url" {
  value = module.queues.queues["emails"].url
}
