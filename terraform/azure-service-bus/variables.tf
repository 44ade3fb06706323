variable "namespace_name" {
  description = "The namespace's name, unique in the world: the host is NAME.servicebus.windows.net."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]$", var.namespace_name)) && !endswith(var.namespace_name, "-sb") && !endswith(var.namespace_name, "-mgmt")
    error_message = "namespace_name has 6 to 50 letters, digits and hyphens, starts with a letter, and doesn't end in -sb or -mgmt."
  }
}

variable "resource_group_name" {
  description = "The resource group that everything is in."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.resource_group_name) >= 1 && length(var.resource_group_name) <= 90
    error_message = "resource_group_name has 1 to 90 characters."
  }
}

variable "location" {
  description = "The region: westeurope, say."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9 ]+$", var.location))
    error_message = "location is a region: westeurope, say."
  }
}

variable "sku" {
  description = "`Standard` or `Premium`. Basic has neither sessions nor schedules."
  type        = string
  default     = "Standard"
  nullable    = false

  validation {
    condition     = contains(["Standard", "Premium"], var.sku)
    error_message = "sku is Standard or Premium: Basic has neither sessions nor scheduled messages, which cloudq uses."
  }
}

variable "capacity" {
  description = "The messaging units of a Premium namespace: 1, 2, 4, 8 or 16."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2, 4, 8, 16], var.capacity) && (var.sku == "Premium" || var.capacity == 1)
    error_message = "capacity is 1, 2, 4, 8 or 16, and more than 1 with sku = \"Premium\" only."
  }
}

variable "prefix" {
  description = "What the queues' names on Service Bus start with; the application's own names don't have it."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9][A-Za-z0-9_-]{0,59})?$", var.prefix))
    error_message = "prefix has letters, digits, - and _, starts with a letter or digit, at most 60."
  }
}

variable "queues" {
  description = <<-EOT
    The queues by the names that the application uses; each has its dead-letter queue with it. A name that ends in `.fifo` is a queue with sessions.
    `cloudq terraform vars` writes this map from the tasks' declarations.

    - `lock_seconds`: the lease, renewed while a task runs; 5 to 300.
    - `max_delivery_count`: the backstop for messages that kill their worker. Keep it above the tasks' max_deliveries.
    - `max_size_megabytes`: how much the queue holds.
    - `ttl_seconds`: how long a message may wait before it is a dead letter. Without end, unless set.
    - `dead_letters_alert`, `backlog_alert`: the alerts ring above these numbers of messages.
  EOT
  type = map(object({
    lock_seconds       = optional(number, 300)
    max_delivery_count = optional(number, 100)
    max_size_megabytes = optional(number, 1024)
    ttl_seconds        = optional(number)
    dead_letters_alert = optional(number, 0)
    backlog_alert      = optional(number, 10000)
  }))
  nullable = false

  validation {
    condition     = length(var.queues) > 0
    error_message = "queues is empty: name one at least, e.g. { emails = {} }."
  }
  validation {
    condition     = alltrue([for name, _ in var.queues : can(regex("^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", name)) && length("${var.prefix}${name}") <= 260])
    error_message = "A queue's name has letters, digits, dots, - and _, starts and ends with a letter or digit, and has 260 characters at most with the prefix."
  }
  validation {
    condition     = length(distinct([for name, _ in var.queues : lower(name)])) == length(var.queues)
    error_message = "Two queues differ only by small and capital letters, which are one to Service Bus."
  }
  validation {
    # The longest is "NAMESPACE QUEUE dead letters".
    condition     = alltrue([for name, _ in var.queues : length("${var.namespace_name} ${var.prefix}${name} dead letters") <= 260])
    error_message = "A queue's alerts are named after it and the namespace, and Azure Monitor takes 260 characters: the namespace's and the queue's name with the prefix have 246 at most together."
  }
  validation {
    condition     = alltrue([for name, _ in var.queues : !endswith(trimsuffix(name, ".fifo"), "-dlq")])
    error_message = "A queue of Service Bus has its dead-letter queue with it: leave out what ends in -dlq."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.lock_seconds >= 5 && queue.lock_seconds <= 300 && floor(queue.lock_seconds) == queue.lock_seconds])
    error_message = "lock_seconds is a whole number from 5 to 300: Service Bus locks no longer, and the worker renews."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.max_delivery_count >= 11 && queue.max_delivery_count <= 2000])
    error_message = "max_delivery_count is a backstop behind the retry policy: 11 to 2000."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : contains([1024, 2048, 3072, 4096, 5120], queue.max_size_megabytes) || (var.sku == "Premium" && contains([10240, 20480, 40960, 81920], queue.max_size_megabytes))])
    error_message = "max_size_megabytes is 1024, 2048, 3072, 4096 or 5120; with sku = \"Premium\" also 10240, 20480, 40960 or 81920."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : try(queue.ttl_seconds >= 60 && queue.ttl_seconds <= 31536000 && floor(queue.ttl_seconds) == queue.ttl_seconds, queue.ttl_seconds == null)])
    error_message = "ttl_seconds is a whole number from 60 to 31536000 (a year)."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.dead_letters_alert >= 0 && queue.backlog_alert >= 1])
    error_message = "dead_letters_alert is 0 at least, backlog_alert 1."
  }
}

variable "dedup_window_seconds" {
  description = "For how long the queues remember the ids of messages, 20 to 604800: then an idempotency key is not stored twice meanwhile. Costs throughput; without it there is no such memory. It can't be changed later."
  type        = number
  default     = null

  validation {
    condition     = try(var.dedup_window_seconds >= 20 && var.dedup_window_seconds <= 604800 && floor(var.dedup_window_seconds) == var.dedup_window_seconds, var.dedup_window_seconds == null)
    error_message = "dedup_window_seconds is a whole number from 20 to 604800 (7 days)."
  }
}

variable "max_message_kilobytes" {
  description = "The largest message, 1024 to 102400, on Premium. On Standard it is 256."
  type        = number
  default     = null

  validation {
    condition     = var.max_message_kilobytes == null || (var.sku == "Premium" && try(var.max_message_kilobytes >= 1024 && var.max_message_kilobytes <= 102400, false))
    error_message = "max_message_kilobytes is 1024 to 102400, with sku = \"Premium\" only."
  }
}

variable "producers" {
  description = "Who sends: object ids of principals by any name, { web = azurerm_user_assigned_identity.web.principal_id }."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.producers) : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "producers are object ids of principals, as 11111111-2222-3333-4444-555555555555: no names of theirs."
  }
}

variable "workers" {
  description = "Who works: object ids of principals by any name. They send, too: retries."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.workers) : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "workers are object ids of principals, as 11111111-2222-3333-4444-555555555555: no names of theirs."
  }
}

variable "operators" {
  description = "Who looks after the queues: object ids of principals by any name. Counting and pausing take the owner's role, which they get queue by queue."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for id in values(var.operators) : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "operators are object ids of principals, as 11111111-2222-3333-4444-555555555555: no names of theirs."
  }
}

variable "network_rules" {
  description = "Premium only: who reaches the namespace: `ip_rules` (addresses or ranges), `subnet_ids`, and whether trusted services of Azure do. All others are refused."
  type = object({
    ip_rules         = optional(list(string), [])
    subnet_ids       = optional(list(string), [])
    trusted_services = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.network_rules == null || (var.sku == "Premium" && try(length(var.network_rules.ip_rules) + length(var.network_rules.subnet_ids) > 0, false))
    error_message = "network_rules are for sku = \"Premium\", and let in an address or a subnet at least."
  }
}

variable "public_network_access" {
  description = "Whether the namespace has a public address at all. Without one, bring a private endpoint (Premium)."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.public_network_access || var.sku == "Premium"
    error_message = "Without public_network_access a private endpoint is needed, which takes sku = \"Premium\"."
  }
}

variable "customer_managed_key" {
  description = "Premium only: a key of your own, as the id of a Key Vault key, and the user-assigned identity that may use it."
  type = object({
    key_vault_key_id = string
    identity_id      = string
  })
  default = null

  validation {
    condition     = var.customer_managed_key == null || (var.sku == "Premium" && can(regex("^https://", var.customer_managed_key.key_vault_key_id)))
    error_message = "customer_managed_key is for sku = \"Premium\", and its key_vault_key_id is a URL: https://VAULT.vault.azure.net/keys/NAME."
  }
}

variable "action_group_ids" {
  description = "Who is told of alerts: ids of action groups. The alerts are made without any, too."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.action_group_ids : can(regex("(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Insights/actionGroups/[^/]+$", id))])
    error_message = "action_group_ids are resource ids of action groups."
  }
}

variable "tags" {
  description = "On everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 50 && alltrue([for key, value in var.tags : can(regex("^[^<>%&\\\\?/]{1,512}$", key)) && length(value) <= 256])
    error_message = "tags are 50 at most; a key has 1 to 512 characters, none of < > % & \\ ? /, a value has 256 at most."
  }
}
