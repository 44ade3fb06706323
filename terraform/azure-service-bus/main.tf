locals {
  queues = { for name, queue in var.queues : name => merge(queue, { native = "${var.prefix}${name}", sessions = endswith(name, ".fifo") }) }

  # As the service writes them: with PT300S for PT5M every plan would show a change.
  seconds = toset(concat([for queue in values(local.queues) : queue.lock_seconds], [for queue in values(local.queues) : queue.ttl_seconds if queue.ttl_seconds != null], var.dedup_window_seconds[*]))
  parts = { for all in local.seconds : all => {
    date = all >= 86400 ? "${floor(all / 86400)}D" : ""
    time = join("", [for unit, count in { H = floor(all / 3600) % 24, M = floor(all / 60) % 60, S = all % 60 } : "${count}${unit}" if count > 0])
  } }
  durations = { for all, part in local.parts : all => "P${part.date}${part.time == "" ? "" : "T${part.time}"}" }

  locks = distinct([for queue in values(local.queues) : queue.lock_seconds])
  parameters = [for name, value in {
    prefix       = var.prefix == "" ? null : var.prefix
    dedup_window = var.dedup_window_seconds
    # Where all queues have the same, a worker needn't learn it.
    lock        = length(local.locks) == 1 ? local.locks[0] : null
    max_message = try(var.max_message_kilobytes * 1024, null)
  } : "${name}=${value}" if value != null]
  url = "servicebus://${lower(var.namespace_name)}.servicebus.windows.net${length(local.parameters) > 0 ? "?${join("&", local.parameters)}" : ""}"
}

resource "azurerm_servicebus_namespace" "this" {
  # checkov:skip=CKV_AZURE_199: double encryption comes with a key of yours, which takes Premium: customer_managed_key.
  # checkov:skip=CKV_AZURE_201: a key of yours takes Premium: customer_managed_key. Without one the service's own encrypts.
  # checkov:skip=CKV_AZURE_204: without a public address a private endpoint is needed, which takes Premium: public_network_access = false.
  name                = var.namespace_name
  resource_group_name = var.resource_group_name
  location            = var.location
  sku                 = var.sku
  capacity            = var.sku == "Premium" ? var.capacity : 0

  premium_messaging_partitions = var.sku == "Premium" ? 1 : 0

  # No keys: who sends and who works has a role.
  local_auth_enabled            = false
  minimum_tls_version           = "1.2"
  public_network_access_enabled = var.public_network_access

  identity {
    type         = var.customer_managed_key == null ? "SystemAssigned" : "SystemAssigned, UserAssigned"
    identity_ids = var.customer_managed_key[*].identity_id
  }

  dynamic "customer_managed_key" {
    for_each = var.customer_managed_key[*]
    content {
      key_vault_key_id                  = customer_managed_key.value.key_vault_key_id
      identity_id                       = customer_managed_key.value.identity_id
      infrastructure_encryption_enabled = true
    }
  }

  dynamic "network_rule_set" {
    for_each = var.network_rules[*]
    content {
      default_action                = "Deny"
      public_network_access_enabled = var.public_network_access
      trusted_services_allowed      = network_rule_set.value.trusted_services
      ip_rules                      = network_rule_set.value.ip_rules

      dynamic "network_rules" {
        for_each = network_rule_set.value.subnet_ids
        content {
          subnet_id = network_rules.value
        }
      }
    }
  }

  tags = var.tags
}

resource "azurerm_servicebus_queue" "this" {
  for_each = local.queues

  name         = each.value.native
  namespace_id = azurerm_servicebus_namespace.this.id

  # An ordering key is a session.
  requires_session      = each.value.sessions
  lock_duration         = local.durations[each.value.lock_seconds]
  max_delivery_count    = each.value.max_delivery_count
  max_size_in_megabytes = each.value.max_size_megabytes

  # What nobody took in time is kept, not lost.
  dead_lettering_on_message_expiration = true
  default_message_ttl                  = each.value.ttl_seconds == null ? null : local.durations[each.value.ttl_seconds]

  requires_duplicate_detection            = var.dedup_window_seconds != null
  duplicate_detection_history_time_window = var.dedup_window_seconds == null ? null : local.durations[var.dedup_window_seconds]

  max_message_size_in_kilobytes = var.max_message_kilobytes
}
