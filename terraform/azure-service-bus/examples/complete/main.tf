terraform {
  required_version = ">= 1.9"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.10"
    }
  }
}

provider "azurerm" {
  features {}
}

variable "subscription" {
  description = "The subscription's id."
  type        = string
  default     = "00000000-0000-0000-0000-000000000000"
}

locals {
  group = "/subscriptions/${var.subscription}/resourceGroups/shop/providers"
}

module "queues" {
  source = "../.."

  namespace_name        = "shop-queues"
  resource_group_name   = "shop"
  location              = "westeurope"
  sku                   = "Premium"
  capacity              = 2
  prefix                = "prod-"
  dedup_window_seconds  = 600
  max_message_kilobytes = 1024

  queues = {
    emails        = { lock_seconds = 60 }
    "orders.fifo" = { max_size_megabytes = 10240, backlog_alert = 1000 }
    reports       = { ttl_seconds = 604800 }
  }

  producers = { web = "11111111-1111-1111-1111-111111111111" }
  workers   = { worker = "22222222-2222-2222-2222-222222222222" }
  operators = { on_call = "33333333-3333-3333-3333-333333333333" }

  network_rules = {
    subnet_ids       = ["${local.group}/Microsoft.Network/virtualNetworks/shop/subnets/workers"]
    ip_rules         = ["203.0.113.7"]
    trusted_services = true
  }
  customer_managed_key = {
    key_vault_key_id = "https://shop.vault.azure.net/keys/queues"
    identity_id      = "${local.group}/Microsoft.ManagedIdentity/userAssignedIdentities/queues"
  }

  action_group_ids = ["${local.group}/Microsoft.Insights/actionGroups/on-call"]
  tags             = { service = "shop" }
}

output "environment" {
  value = module.queues.environment
}
