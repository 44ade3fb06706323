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
  description = "The function's image in ECR, in the function's own region, with its digest: Lambda keeps what a tag meant at the time."
  type        = string
  default     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-function:1"
}

locals {
  # The longest time_limit of the tasks, and 3 s.
  timeout = 63
}

module "queues" {
  source = "../.."

  name   = "shop"
  prefix = "prod-"
  queues = {
    emails = {
      # Nobody renews a lease here: six times what a batch may take.
      visibility_timeout_seconds = 6 * local.timeout
      max_receive_count          = 100
      lambda = {
        function_name            = aws_lambda_function.worker.function_name
        function_timeout_seconds = local.timeout
        # How many functions run at once: the scaling.
        maximum_concurrency = 20
      }
    }
  }
}

