variable "project_id" {
  description = "The project that the queues are in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id: 6 to 30 lowercase letters, digits and hyphens; no number."
  }
}

variable "location" {
  description = "The region that the queues are in: europe-west1, say."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.location))
    error_message = "location is a region: europe-west1, say; a zone is none."
  }
}

variable "target" {
  description = "The worker's URL, to which each message is pushed."
  type        = string
  nullable    = false

  validation {
    # A token travels with each push.
    condition     = can(regex("^https://[^/?#\\s]+(/[^#\\s]*)?$", var.target)) && length(var.target) <= 2083
    error_message = "target is an https:// URL of at most 2083 characters."
  }
}

variable "audience" {
  description = "What a push's token is for. The target, unless set."
  type        = string
  default     = null

  validation {
    condition     = try(length(var.audience) > 0, var.audience == null)
    error_message = "audience is empty: leave it out for the target."
  }
}

variable "prefix" {
  description = "What the queues' names on Cloud Tasks start with; the application's own names don't have it."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{0,60}$", var.prefix))
    error_message = "prefix has letters, digits and hyphens, at most 60."
  }
}

variable "queues" {
  description = <<-EOT
    The queues by the names that the application uses; each gets its paused dead-letter queue.
    `cloudq terraform vars` writes this map from the tasks' declarations.

    - `max_concurrent_dispatches`: how many pushes may be under way; what all your workers can run at once.
    - `max_dispatches_per_second`: how many may start in a second.
    - `min_backoff_seconds`, `max_backoff_seconds`: between two pushes of what nobody answered. A worker that is down uses up deliveries, so 60 at least.
    - `log_sampling_ratio`: which part of the operations Cloud Logging gets, 0 to 1.
    - `depth_alert`, `lateness_alert_seconds`, `failed_attempts_alert`: when the alerts ring, see alerts.tf.
  EOT
  type = map(object({
    max_concurrent_dispatches = optional(number, 100)
    max_dispatches_per_second = optional(number, 500)
    min_backoff_seconds       = optional(number, 1)
    max_backoff_seconds       = optional(number, 300)
    log_sampling_ratio        = optional(number, 0)
    depth_alert               = optional(number, 10000)
    lateness_alert_seconds    = optional(number, 900)
    failed_attempts_alert     = optional(number, 100)
  }))
  nullable = false

  validation {
    condition     = length(var.queues) > 0
    error_message = "queues is empty: name one at least, e.g. { emails = {} }."
  }
  validation {
    condition     = alltrue([for name, _ in var.queues : !endswith(name, ".fifo")])
    error_message = "Cloud Tasks keeps no order: cloudq refuses a queue named .fifo there."
  }
  validation {
    # With the prefix and "-dlq", 100 characters are what Cloud Tasks takes.
    condition     = alltrue([for name, _ in var.queues : can(regex("^[A-Za-z0-9-]+$", trimsuffix(name, ".fifo"))) && length("${var.prefix}${name}") <= 96])
    error_message = "A queue's name has letters, digits and hyphens, and leaves room for -dlq: 96 characters with the prefix."
  }
  validation {
    condition     = alltrue([for name, _ in var.queues : !endswith(name, "-dlq")])
    error_message = "A name that ends in -dlq is a dead-letter queue's: name the queue, and its dead-letter queue comes with it."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.max_concurrent_dispatches >= 1 && queue.max_concurrent_dispatches <= 5000])
    error_message = "max_concurrent_dispatches is 1 to 5000."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.max_dispatches_per_second > 0 && queue.max_dispatches_per_second <= 500])
    error_message = "max_dispatches_per_second is above 0 and at most 500."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.min_backoff_seconds > 0 && queue.min_backoff_seconds <= queue.max_backoff_seconds])
    error_message = "min_backoff_seconds is above 0 and not above max_backoff_seconds."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.max_backoff_seconds >= 60 && queue.max_backoff_seconds <= 3600])
    error_message = "max_backoff_seconds is 60 to 3600: with less, an outage of the worker uses up the deliveries after which a message is given up."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.log_sampling_ratio >= 0 && queue.log_sampling_ratio <= 1])
    error_message = "log_sampling_ratio is 0 to 1."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.depth_alert >= 1 && queue.lateness_alert_seconds >= 60 && queue.failed_attempts_alert >= 1])
    error_message = "depth_alert and failed_attempts_alert are 1 at least, lateness_alert_seconds 60."
  }
}

variable "queue_level_token" {
  description = "Whether the queues themselves say with which token everything in them is pushed, tasks of other programs included. cloudq's own tasks say it each, so they need it not."
  type        = bool
  default     = false
  nullable    = false
}

variable "invoker_account_id" {
  description = "The id of the service account that is made for the pushes' tokens."
  type        = string
  default     = "cloudq-invoker"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.invoker_account_id))
    error_message = "invoker_account_id has 6 to 30 lowercase letters, digits and hyphens."
  }
}

variable "run_service" {
  description = "The worker's Cloud Run service (`name`, and `location` if it isn't the queues'), which the invoker is let call. Without one, see to it yourself."
  type = object({
    name     = string
    location = optional(string)
  })
  default = null

  validation {
    condition     = var.run_service == null || can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.run_service.name))
    error_message = "run_service.name is a service's name, no URL."
  }
}

variable "producers" {
  description = "Who sends, as IAM members by any name: { web = \"serviceAccount:web@my-project.iam.gserviceaccount.com\" }."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.producers) : can(regex("^(serviceAccount|user|group|principal|principalSet):.+", member))])
    error_message = "producers are members, serviceAccount:E-MAIL, say; neither allUsers nor allAuthenticatedUsers."
  }
}

variable "workers" {
  description = "Who works, as IAM members by any name. They send, too: retries and dead letters."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.workers) : can(regex("^(serviceAccount|user|group|principal|principalSet):.+", member))])
    error_message = "workers are members, serviceAccount:E-MAIL, say; neither allUsers nor allAuthenticatedUsers."
  }
}

variable "operators" {
  description = "Who looks after the queues, as IAM members by any name: counts, checks, pauses and resumes them, and handles dead letters."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.operators) : can(regex("^(serviceAccount|user|group|principal|principalSet):.+", member))])
    error_message = "operators are members, group:E-MAIL, say; neither allUsers nor allAuthenticatedUsers."
  }
}

variable "producers_may_cancel" {
  description = "Whether producers may delete tasks (`cloudq.cancel`)."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators_may_purge" {
  description = "Whether operators may purge queues (`cloudq purge`)."
  type        = bool
  default     = false
  nullable    = false
}

variable "role_id" {
  description = "The id of the operators' role, unique in the project. It is made if there are operators."
  type        = string
  default     = "cloudqOperator"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.]{3,60}$", var.role_id))
    error_message = "role_id has 3 to 60 letters, digits, _ and dots."
  }
}

variable "notification_channels" {
  description = "Who is told of alerts: channels of Cloud Monitoring. The alerts are made without any, too."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "notification_channels are projects/PROJECT/notificationChannels/ID."
  }
}

variable "labels" {
  description = "On what takes labels: the alerts. Queues take none."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.labels) <= 64 && alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "labels are 64 at most, of small letters, digits, - and _, 63 each at most; a key starts with a letter."
  }
}
