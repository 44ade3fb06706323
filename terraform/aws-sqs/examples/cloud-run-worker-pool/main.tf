terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.8"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

variable "project_id" {
  description = "The Google project that the workers run in."
  type        = string
  default     = "my-project"
}

variable "image" {
  description = "The worker's image, with its tag or digest."
  type        = string
  default     = "europe-west1-docker.pkg.dev/my-project/shop/worker:1"
}

variable "workers" {
  description = "How many run. Nothing in Cloud Run itself changes that number."
  type        = number
  default     = 2
}

module "queues" {
  source = "../.."

  name   = "shop"
  prefix = "prod-"
  queues = {
    emails = {}
  }
}
