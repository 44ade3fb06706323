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

module "queues" {
  source = "../.."

  queues = {
    default = {}
  }
}

output "cloudq_url" {
  value = module.queues.cloudq_url
}
