terraform {
  # Validations that look at other variables came with 1.9.
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # The oldest that this module is checked against.
      version = ">= 5.10"
    }
  }
}
