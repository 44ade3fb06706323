locals {
  alerts = merge([for name, queue in local.queues : {
    "${name} dead letters" = { native = queue.native, metric = "DeadletteredMessages", threshold = queue.dead_letters_alert, severity = 2, says = "There are dead letters of ${name}: cloudq dlq list ${name}" }
    # Service Bus has no metric of the oldest message's age.
    "${name} backlog" = { native = queue.native, metric = "ActiveMessages", threshold = queue.backlog_alert, severity = 3, says = "Messages of ${name} pile up: too few workers, or none." }
  }]...)
}

resource "azurerm_monitor_metric_alert" "this" {
  for_each = local.alerts

  # A name has no slash, and dots are taken.
  name                = "${var.namespace_name} ${var.prefix}${each.key}"
  resource_group_name = var.resource_group_name
  description         = each.value.says
  scopes              = [azurerm_servicebus_namespace.this.id]
  severity            = each.value.severity
  frequency           = "PT5M"
  window_size         = "PT15M"
  tags                = var.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = each.value.metric
    aggregation      = "Maximum"
    operator         = "GreaterThan"
    threshold        = each.value.threshold

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = [each.value.native]
    }
  }

  dynamic "action" {
    for_each = var.action_group_ids
    content {
      action_group_id = action.value
    }
  }
}
