# Wrong inputs are refused by the variable's own validation, before anything is asked of the provider.
mock_provider "aws" {}

variables {
  queues = { emails = {} }
}

run "refuses_no_queue" {
  command = plan

  variables {
    queues = {}
  }

  expect_failures = [var.queues]
}

run "refuses_a_name_with_a_dot" {
  command = plan

  variables {
    queues = { "e.mails" = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_name_that_is_too_long" {
  command = plan

  variables {
    prefix = "production-"
    queues = { "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq" = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_dead_letter_queue_by_name" {
  command = plan

  variables {
    queues = { "emails-dlq" = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_lease_of_more_than_12_hours" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 43201 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_backstop_before_the_policy" {
  command = plan

  variables {
    queues = { emails = { max_receive_count = 3 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_fifo_backstop_before_the_policy" {
  command = plan

  variables {
    queues = { "orders.fifo" = { max_receive_count = 20 } }
  }

  expect_failures = [var.queues]
}

run "refuses_retention_as_long_as_the_dead_letters" {
  command = plan

  variables {
    queues = { emails = { retention_seconds = 1209600 } }
  }

  expect_failures = [var.queues]
}

run "refuses_messages_of_more_than_1_mib" {
  command = plan

  variables {
    queues = { emails = { max_message_bytes = 2097152 } }
  }

  expect_failures = [var.queues]
}

run "refuses_high_throughput_without_order" {
  command = plan

  variables {
    queues = { emails = { high_throughput = true } }
  }

  expect_failures = [var.queues]
}

run "refuses_an_alarm_at_once" {
  command = plan

  variables {
    queues = { emails = { oldest_age_alarm_seconds = 5 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_function_of_an_hour" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 43200, lambda = { function_name = "f", function_timeout_seconds = 3600 } } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_lease_of_less_than_six_timeouts" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 120, lambda = { function_name = "f", function_timeout_seconds = 60 } } }
  }

  expect_failures = [var.queues]
}

run "refuses_pollers_and_concurrency" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 60, lambda = { function_name = "f", function_timeout_seconds = 10, maximum_concurrency = 10, provisioned_pollers = {} } } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_concurrency_of_one" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 60, lambda = { function_name = "f", function_timeout_seconds = 10, maximum_concurrency = 1 } } }
  }

  expect_failures = [var.queues]
}

run "refuses_one_provisioned_poller" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 60, lambda = { function_name = "f", function_timeout_seconds = 10, provisioned_pollers = { minimum = 1 } } } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_large_batch_without_a_window" {
  command = plan

  variables {
    queues = { emails = { visibility_timeout_seconds = 60, lambda = { function_name = "f", function_timeout_seconds = 10, batch_size = 100 } } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_prefix_with_a_slash" {
  command = plan

  variables {
    prefix = "prod/"
  }

  expect_failures = [var.prefix]
}

run "refuses_an_alias_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "alias/aws/sqs"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_a_name_with_a_space" {
  command = plan

  variables {
    name = "my queues"
  }

  expect_failures = [var.name]
}

run "refuses_an_action_that_is_no_arn" {
  command = plan

  variables {
    alarm_actions = ["on-call@shop.example"]
  }

  expect_failures = [var.alarm_actions]
}

run "refuses_a_bucket_by_arn" {
  command = plan

  variables {
    claim_check = { bucket = "arn:aws:s3:::payloads" }
  }

  expect_failures = [var.claim_check]
}

run "refuses_a_prefix_that_is_a_wildcard" {
  command = plan

  variables {
    claim_check = { bucket = "payloads", prefix = "*" }
  }

  expect_failures = [var.claim_check]
}

run "refuses_an_alias_of_the_buckets_key" {
  command = plan

  variables {
    claim_check = { bucket = "payloads", kms_key_arn = "alias/payloads" }
  }

  expect_failures = [var.claim_check]
}

run "refuses_a_table_with_a_slash" {
  command = plan

  variables {
    idempotency_table = { name = "shop/keys" }
  }

  expect_failures = [var.idempotency_table]
}

run "refuses_a_tag_of_awss" {
  command = plan

  variables {
    tags = { "aws:team" = "shop" }
  }

  expect_failures = [var.tags]
}

run "refuses_six_alarm_actions" {
  command = plan

  variables {
    alarm_actions = [for n in range(6) : "arn:aws:sns:eu-west-1:123456789012:on-call-${n}"]
  }

  expect_failures = [var.alarm_actions]
}
