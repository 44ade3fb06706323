# Wrong inputs are refused by the variable's own validation, before anything is asked of the provider.
mock_provider "google" {}

variables {
  project_id = "my-project"
  location   = "europe-west1"
  target     = "https://worker.example/"
  queues     = { emails = {} }
}

run "refuses_no_queue" {
  command = plan

  variables {
    queues = {}
  }

  expect_failures = [var.queues]
}

run "refuses_an_ordered_queue" {
  command = plan

  variables {
    queues = { "orders.fifo" = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_name_with_an_underscore" {
  command = plan

  variables {
    queues = { my_emails = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_dead_letter_queue_by_name" {
  command = plan

  variables {
    queues = { emails-dlq = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_no_dispatches" {
  command = plan

  variables {
    queues = { emails = { max_concurrent_dispatches = 0 } }
  }

  expect_failures = [var.queues]
}

run "refuses_more_than_500_a_second" {
  command = plan

  variables {
    queues = { emails = { max_dispatches_per_second = 501 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_longer_least_back_off" {
  command = plan

  variables {
    queues = { emails = { min_backoff_seconds = 400 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_short_back_off" {
  command = plan

  variables {
    queues = { emails = { max_backoff_seconds = 10 } }
  }

  expect_failures = [var.queues]
}

run "refuses_more_than_all_logged" {
  command = plan

  variables {
    queues = { emails = { log_sampling_ratio = 2 } }
  }

  expect_failures = [var.queues]
}

run "refuses_an_alert_at_once" {
  command = plan

  variables {
    queues = { emails = { lateness_alert_seconds = 0 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_projects_number" {
  command = plan

  variables {
    project_id = "123456789012"
  }

  expect_failures = [var.project_id]
}

run "refuses_a_zone" {
  command = plan

  variables {
    location = "europe-west1-b"
  }

  expect_failures = [var.location]
}

run "refuses_a_token_in_the_clear" {
  command = plan

  variables {
    target = "http://worker.example/"
  }

  expect_failures = [var.target]
}

run "refuses_an_empty_audience" {
  command = plan

  variables {
    audience = ""
  }

  expect_failures = [var.audience]
}

run "refuses_a_prefix_with_an_underscore" {
  command = plan

  variables {
    prefix = "prod_"
  }

  expect_failures = [var.prefix]
}

run "refuses_a_short_account" {
  command = plan

  variables {
    invoker_account_id = "me"
  }

  expect_failures = [var.invoker_account_id]
}

run "refuses_a_service_by_its_url" {
  command = plan

  variables {
    run_service = { name = "https://worker.example/" }
  }

  expect_failures = [var.run_service]
}

run "refuses_everybody_as_a_producer" {
  command = plan

  variables {
    producers = { all = "allUsers" }
  }

  expect_failures = [var.producers]
}

run "refuses_everybody_as_a_worker" {
  command = plan

  variables {
    workers = { all = "allAuthenticatedUsers" }
  }

  expect_failures = [var.workers]
}

run "refuses_everybody_as_an_operator" {
  command = plan

  variables {
    operators = { all = "allUsers" }
  }

  expect_failures = [var.operators]
}

run "refuses_a_role_with_a_hyphen" {
  command = plan

  variables {
    role_id = "cloudq-operator"
  }

  expect_failures = [var.role_id]
}

run "refuses_a_channel_by_e_mail" {
  command = plan

  variables {
    notification_channels = ["on-call@shop.example"]
  }

  expect_failures = [var.notification_channels]
}

run "refuses_a_label_in_capitals" {
  command = plan

  variables {
    labels = { Team = "shop" }
  }

  expect_failures = [var.labels]
}
