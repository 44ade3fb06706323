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

variable "issuer" {
  description = "The AKS cluster, with workload identity and KEDA: the URL of its OIDC issuer."
  type        = string
  default     = "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/"
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

# terraform output -raw config_map | kubectl apply -f -
output "config_map" {
  value = yamlencode({
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata   = { name = "cloudq", namespace = "shop" }
    data       = module.queues.environment
  })
}

# For worker.yaml and scaling.yaml.
output "client_ids" {
  value = {
    worker = azurerm_user_assigned_identity.worker.client_id
    scaler = azurerm_user_assigned_identity.scaler.client_id
  }
}
