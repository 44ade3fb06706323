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

variable "image" {
  description = "The worker's image, with its tag or digest."
  type        = string
  default     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop:1"
}

variable "subnet_ids" {
  description = "Where the workers run. They need a way to SQS and ECR: a NAT gateway, or endpoints."
  type        = list(string)
  default     = ["subnet-0123456789abcdef0"]
}

variable "security_group_ids" {
  description = "What lets the workers out, on port 443. Nothing has to be let in."
  type        = list(string)
  default     = ["sg-0123456789abcdef0"]
}

module "queues" {
  source = "../.."

  name   = "shop"
  prefix = "prod-"
  queues = {
    emails = {}
  }
}
