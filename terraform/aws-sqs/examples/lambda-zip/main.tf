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

variable "package" {
  description = "The zip file with the function, its tasks, and what they import."
  type        = string
  default     = "package.zip"
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

