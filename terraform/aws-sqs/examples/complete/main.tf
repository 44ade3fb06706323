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

variable "kms_key_arn" {
  description = "The key that encrypts the queues."
  type        = string
  default     = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
}

variable "alarm_topic_arn" {
  description = "Who is told of alarms."
  type        = string
  default     = "arn:aws:sns:eu-west-1:123456789012:on-call"
}

module "queues" {
  source = "../.."

  name        = "shop"
  prefix      = "prod-"
  kms_key_arn = var.kms_key_arn
  scheduler   = true

  queues = {
    # Polled by `cloudq worker`.
    emails = {
      oldest_age_alarm_seconds = 300
    }
    "orders.fifo" = {
      high_throughput = true
    }
    # Run by Lambda: six times the function's time-out.
    thumbnails = {
      visibility_timeout_seconds = 720
      lambda = {
        function_name            = "shop-thumbnails"
        function_timeout_seconds = 120
        maximum_concurrency      = 50
      }
    }
    imports = {
      visibility_timeout_seconds = 5400
      lambda = {
        function_name            = "shop-imports"
        function_timeout_seconds = 900
        batch_size               = 1
        provisioned_pollers      = { minimum = 2, maximum = 20 }
      }
    }
  }

  # Payloads that are too large for a queue lie in this bucket.
  claim_check = {
    bucket = "shop-payloads"
    prefix = "cloudq"
  }
  idempotency_table = {}

  operators_may_purge = true
  operators_may_move  = true
  alarm_actions       = [var.alarm_topic_arn]
  tags                = { service = "shop" }
}

output "environment" {
  value = module.queues.environment
}

output "policy_arns" {
  value = module.queues.policy_arns
}
