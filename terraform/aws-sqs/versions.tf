terraform {
  # Validations that look at other variables came with 1.9.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first that takes a max_message_size of 1 MiB.
      version = ">= 6.8"
    }
  }
}
