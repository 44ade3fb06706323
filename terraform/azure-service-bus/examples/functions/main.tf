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

variable "resource_group_name" {
  description = "The resource group that everything is in."
  type        = string
  default     = "shop"
}

variable "location" {
  description = "The region."
  type        = string
  default     = "westeurope"
}

variable "package" {
  description = "The zip file with function_app.py, host.json, requirements.txt, and what they need."
  type        = string
  default     = "package.zip"
}

module "queues" {
  source = "../.."

  namespace_name      = "shop-queues"
  resource_group_name = var.resource_group_name
  location            = var.location
  prefix              = "prod-"
  queues = {
    orders = {}
  }

  workers = { function = azurerm_user_assigned_identity.worker.principal_id }
}

# What the worker may do comes from the module: it receives and sends.
resource "azurerm_user_assigned_identity" "worker" {
  name                = "shop-worker"
  resource_group_name = var.resource_group_name
  location            = var.location
}
