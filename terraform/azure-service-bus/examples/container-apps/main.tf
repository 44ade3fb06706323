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

variable "image" {
  description = "The worker's image, with its tag or digest."
  type        = string
  default     = "shop.azurecr.io/worker:1"
}

module "queues" {
  source = "../.."

  namespace_name      = "shop-queues"
  resource_group_name = var.resource_group_name
  location            = var.location
  prefix              = "prod-"
  queues = {
    emails = {}
  }

  workers   = { worker = azurerm_user_assigned_identity.worker.principal_id }
  operators = { scaler = azurerm_user_assigned_identity.scaler.principal_id }
}

# What the worker may do comes from the module: it receives and sends.
resource "azurerm_user_assigned_identity" "worker" {
  name                = "shop-worker"
  resource_group_name = var.resource_group_name
  location            = var.location
}

# Counting takes the role of an owner, which the worker does not get.
resource "azurerm_user_assigned_identity" "scaler" {
  name                = "shop-scaler"
  resource_group_name = var.resource_group_name
  location            = var.location
}
