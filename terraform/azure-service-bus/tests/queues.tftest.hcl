# Without credentials: nothing is made.
mock_provider "azurerm" {
  override_during = plan
  mock_resource "azurerm_servicebus_namespace" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/shop/providers/Microsoft.ServiceBus/namespaces/shop-queues" }
  }
}

variables {
  namespace_name      = "Shop-Queues"
  resource_group_name = "shop"
  location            = "westeurope"
  queues              = { emails = {}, "orders.fifo" = {} }
}

run "a_minimal_call_is_safe" {
  command = plan

  assert {
    condition     = !azurerm_servicebus_namespace.this.local_auth_enabled
    error_message = "There are no keys."
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.minimum_tls_version == "1.2"
    error_message = "TLS is 1.2 at least."
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.identity[0].type == "SystemAssigned" && azurerm_servicebus_namespace.this.sku == "Standard" && azurerm_servicebus_namespace.this.capacity == 0 && azurerm_servicebus_namespace.this.premium_messaging_partitions == 0
    error_message = "A Standard namespace with an identity of its own."
  }
  assert {
    condition     = azurerm_servicebus_queue.this["orders.fifo"].requires_session && !azurerm_servicebus_queue.this["emails"].requires_session
    error_message = "Sessions are where order is."
  }
  assert {
    condition     = alltrue([for queue in values(azurerm_servicebus_queue.this) : queue.lock_duration == "PT5M" && queue.max_delivery_count == 100])
    error_message = "A lock is five minutes, the backstop a hundred deliveries."
  }
  assert {
    condition     = alltrue([for queue in values(azurerm_servicebus_queue.this) : queue.dead_lettering_on_message_expiration])
    error_message = "What nobody took in time is kept."
  }
  assert {
    condition     = alltrue([for queue in values(azurerm_servicebus_queue.this) : !queue.requires_duplicate_detection])
    error_message = "A queue remembers no ids unless asked to."
  }
  assert {
    condition     = length(azurerm_role_assignment.this) == 0 && length(azurerm_servicebus_namespace.this.network_rule_set) == 0 && length(azurerm_servicebus_namespace.this.customer_managed_key) == 0
    error_message = "Nobody is let in who isn't named."
  }
  assert {
    condition     = output.cloudq_url == "servicebus://shop-queues.servicebus.windows.net?lock=300" && output.environment == { CLOUDQ_URL = output.cloudq_url }
    error_message = "The URL names the host, and the lock that all have."
  }
}

run "durations_are_the_services_own" {
  command = plan

  variables {
    prefix               = "prod-"
    dedup_window_seconds = 604800
    queues = {
      emails  = { lock_seconds = 90, ttl_seconds = 90061 }
      reports = { lock_seconds = 45, ttl_seconds = 3600 }
    }
  }

  assert {
    condition     = azurerm_servicebus_queue.this["emails"].lock_duration == "PT1M30S" && azurerm_servicebus_queue.this["reports"].lock_duration == "PT45S"
    error_message = "Minutes before seconds."
  }
  assert {
    condition     = azurerm_servicebus_queue.this["emails"].default_message_ttl == "P1DT1H1M1S" && azurerm_servicebus_queue.this["reports"].default_message_ttl == "PT1H"
    error_message = "Days before hours."
  }
  assert {
    condition     = azurerm_servicebus_queue.this["emails"].duplicate_detection_history_time_window == "P7D" && azurerm_servicebus_queue.this["emails"].requires_duplicate_detection
    error_message = "The window is seven days."
  }
  assert {
    condition     = output.cloudq_url == "servicebus://shop-queues.servicebus.windows.net?dedup_window=604800&prefix=prod-" && output.queues.emails.name == "prod-emails"
    error_message = "Different locks aren't in the URL; the window and the prefix are."
  }
}

run "premium" {
  command = plan

  variables {
    sku                   = "Premium"
    capacity              = 4
    max_message_kilobytes = 2048
    network_rules         = { ip_rules = ["203.0.113.7"], subnet_ids = ["/subscriptions/x/subnets/workers"] }
    customer_managed_key  = { key_vault_key_id = "https://shop.vault.azure.net/keys/queues", identity_id = "/subscriptions/x/identities/queues" }
    queues                = { emails = { max_size_megabytes = 81920 } }
  }

  assert {
    condition     = azurerm_servicebus_namespace.this.capacity == 4 && azurerm_servicebus_namespace.this.premium_messaging_partitions == 1
    error_message = "Four messaging units."
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.network_rule_set[0].default_action == "Deny" && !azurerm_servicebus_namespace.this.network_rule_set[0].trusted_services_allowed
    error_message = "All others are refused."
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.customer_managed_key[0].infrastructure_encryption_enabled && azurerm_servicebus_namespace.this.identity[0].type == "SystemAssigned, UserAssigned"
    error_message = "The key is used by its identity."
  }
  assert {
    condition     = azurerm_servicebus_queue.this["emails"].max_message_size_in_kilobytes == 2048 && strcontains(output.cloudq_url, "max_message=2097152")
    error_message = "The URL has the largest message in bytes."
  }
}

run "alerts" {
  command = plan

  variables {
    prefix           = "prod-"
    action_group_ids = ["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/shop/providers/Microsoft.Insights/actionGroups/on-call"]
    queues           = { emails = { backlog_alert = 500 } }
  }

  assert {
    condition     = azurerm_monitor_metric_alert.this["emails dead letters"].criteria[0].metric_name == "DeadletteredMessages" && azurerm_monitor_metric_alert.this["emails dead letters"].criteria[0].threshold == 0
    error_message = "The first dead letter rings."
  }
  assert {
    condition     = azurerm_monitor_metric_alert.this["emails backlog"].criteria[0].metric_name == "ActiveMessages" && azurerm_monitor_metric_alert.this["emails backlog"].criteria[0].threshold == 500
    error_message = "So does a backlog."
  }
  assert {
    condition     = alltrue([for alert in values(azurerm_monitor_metric_alert.this) : tolist(alert.criteria[0].dimension[0].values) == tolist(["prod-emails"])])
    error_message = "An alert is about one queue."
  }
  assert {
    condition     = alltrue([for alert in values(azurerm_monitor_metric_alert.this) : one(alert.action[*].action_group_id) == var.action_group_ids[0]])
    error_message = "Each of them tells the group."
  }
}
