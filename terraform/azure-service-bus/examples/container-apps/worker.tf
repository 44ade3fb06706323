resource "azurerm_log_analytics_workspace" "shop" {
  name                = "shop"
  resource_group_name = var.resource_group_name
  location            = var.location
  retention_in_days   = 30
}

resource "azurerm_container_app_environment" "shop" {
  name                       = "shop"
  resource_group_name        = var.resource_group_name
  location                   = var.location
  logs_destination           = "log-analytics"
  log_analytics_workspace_id = azurerm_log_analytics_workspace.shop.id
}

resource "azurerm_container_app" "worker" {
  name                         = "worker"
  resource_group_name          = var.resource_group_name
  container_app_environment_id = azurerm_container_app_environment.shop.id
  revision_mode                = "Single"

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.worker.id, azurerm_user_assigned_identity.scaler.id]
  }
  # So that it may pull the image, give this identity AcrPull on the registry.
  registry {
    server   = split("/", var.image)[0]
    identity = azurerm_user_assigned_identity.worker.id
  }

  template {
    min_replicas = 0
    max_replicas = 20
    # A little more than the grace.
    termination_grace_period_seconds = 40
    cooldown_period_in_seconds       = 300
    polling_interval_in_seconds      = 15

    container {
      name   = "worker"
      image  = var.image
      cpu    = 0.25
      memory = "0.5Gi"
      args   = ["cloudq", "worker", "--grace", "30", "--health", "8080", "--log-format", "json"]

      dynamic "env" {
        # Of two identities the worker has to know its own.
        for_each = merge(module.queues.environment, { AZURE_CLIENT_ID = azurerm_user_assigned_identity.worker.client_id })
        content {
          name  = env.key
          value = env.value
        }
      }
      liveness_probe {
        transport               = "HTTP"
        path                    = "/healthz"
        port                    = 8080
        interval_seconds        = 10
        failure_count_threshold = 6
      }
      readiness_probe {
        transport = "HTTP"
        path      = "/readyz"
        port      = 8080
      }
    }

    # The signal: messages that wait or run, for each worker. Scheduled ones count when they are due.
    custom_scale_rule {
      name             = "backlog"
      custom_rule_type = "azure-servicebus"
      identity_id      = azurerm_user_assigned_identity.scaler.id
      metadata = {
        namespace    = "shop-queues"
        queueName    = module.queues.queues["emails"].name
        messageCount = "20"
      }
    }
  }
}
