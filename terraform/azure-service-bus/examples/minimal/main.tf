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

module "queues" {
  source = "../.."

  namespace_name      = "shop-queues"
  resource_group_name = "shop"
  location            = "westeurope"
  queues = {
    default = {}
  }
}

output "cloudq_url" {
  value = module.queues.cloudq_url
}
