terraform {
  # Validations that look at other variables came with 1.9.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # The oldest that this module is checked against; 6.50 couldn't pause a queue (desired_state).
      version = ">= 8.7"
    }
  }
}
