# Wrong inputs are refused by the variable's own validation, before anything is asked of the provider.
mock_provider "azurerm" {}

variables {
  namespace_name      = "shop-queues"
  resource_group_name = "shop"
  location            = "westeurope"
  queues              = { emails = {} }
}

run "refuses_no_queue" {
  command = plan

  variables {
    queues = {}
  }

  expect_failures = [var.queues]
}

run "refuses_a_name_with_a_space" {
  command = plan

  variables {
    queues = { "my emails" = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_dead_letter_queue" {
  command = plan

  variables {
    queues = { emails-dlq = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_lock_of_ten_minutes" {
  command = plan

  variables {
    queues = { emails = { lock_seconds = 600 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_lock_of_half_a_second" {
  command = plan

  variables {
    queues = { emails = { lock_seconds = 30.5 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_backstop_before_the_policy" {
  command = plan

  variables {
    queues = { emails = { max_delivery_count = 10 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_size_of_premium" {
  command = plan

  variables {
    queues = { emails = { max_size_megabytes = 10240 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_life_of_a_second" {
  command = plan

  variables {
    queues = { emails = { ttl_seconds = 1 } }
  }

  expect_failures = [var.queues]
}

run "refuses_an_alert_at_once" {
  command = plan

  variables {
    queues = { emails = { backlog_alert = 0 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_namespace_with_a_dot" {
  command = plan

  variables {
    namespace_name = "shop.queues"
  }

  expect_failures = [var.namespace_name]
}

run "refuses_no_resource_group" {
  command = plan

  variables {
    resource_group_name = ""
  }

  expect_failures = [var.resource_group_name]
}

run "refuses_a_location_with_a_slash" {
  command = plan

  variables {
    location = "west/europe"
  }

  expect_failures = [var.location]
}

run "refuses_basic" {
  command = plan

  variables {
    sku = "Basic"
  }

  expect_failures = [var.sku]
}

run "refuses_units_of_standard" {
  command = plan

  variables {
    capacity = 2
  }

  expect_failures = [var.capacity]
}

run "refuses_a_prefix_with_a_slash" {
  command = plan

  variables {
    prefix = "prod/"
  }

  expect_failures = [var.prefix]
}

run "refuses_a_window_of_a_second" {
  command = plan

  variables {
    dedup_window_seconds = 1
  }

  expect_failures = [var.dedup_window_seconds]
}

run "refuses_large_messages_on_standard" {
  command = plan

  variables {
    max_message_kilobytes = 1024
  }

  expect_failures = [var.max_message_kilobytes]
}

run "refuses_network_rules_on_standard" {
  command = plan

  variables {
    network_rules = { ip_rules = ["203.0.113.7"] }
  }

  expect_failures = [var.network_rules]
}

run "refuses_no_address_on_standard" {
  command = plan

  variables {
    public_network_access = false
  }

  expect_failures = [var.public_network_access]
}

run "refuses_a_key_on_standard" {
  command = plan

  variables {
    customer_managed_key = { key_vault_key_id = "https://shop.vault.azure.net/keys/q", identity_id = "/x" }
  }

  expect_failures = [var.customer_managed_key]
}

run "refuses_a_group_by_e_mail" {
  command = plan

  variables {
    action_group_ids = ["on-call@shop.example"]
  }

  expect_failures = [var.action_group_ids]
}

run "refuses_a_tag_with_a_slash" {
  command = plan

  variables {
    tags = { "a/b" = "shop" }
  }

  expect_failures = [var.tags]
}

run "refuses_a_producer_by_name" {
  command = plan

  variables {
    producers = { web = "shop-web" }
  }

  expect_failures = [var.producers]
}

run "refuses_a_worker_by_name" {
  command = plan

  variables {
    workers = { worker = "shop-worker" }
  }

  expect_failures = [var.workers]
}

run "refuses_an_operator_by_name" {
  command = plan

  variables {
    operators = { on_call = "on-call@shop.example" }
  }

  expect_failures = [var.operators]
}

run "refuses_queues_that_differ_by_capitals" {
  command = plan

  variables {
    queues = { emails = {}, Emails = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_a_name_too_long_for_its_alerts" {
  command = plan

  variables {
    queues = { (join("", [for _ in range(250) : "q"])) = {} }
  }

  expect_failures = [var.queues]
}

run "refuses_half_a_second_to_live" {
  command = plan

  variables {
    queues = { emails = { ttl_seconds = 60.5 } }
  }

  expect_failures = [var.queues]
}

run "refuses_half_a_second_of_memory" {
  command = plan

  variables {
    dedup_window_seconds = 20.5
  }

  expect_failures = [var.dedup_window_seconds]
}
