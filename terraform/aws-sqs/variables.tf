variable "prefix" {
  description = "What the queues' names on SQS start with; the application's own names don't have it."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{0,60}$", var.prefix))
    error_message = "prefix has letters, digits, - and _, at most 60."
  }
}

variable "queues" {
  description = <<-EOT
    The queues by the names that the application uses; each gets its dead-letter queue. A name that ends in `.fifo` is a FIFO queue.
    `cloudq terraform vars` writes this map from the tasks' declarations.

    - `visibility_timeout_seconds`: the lease that a message is received with, where the receiver asks for none.
    - `max_receive_count`: the backstop for messages that kill their worker; default 21, one more than the retry policy's own default, on FIFO queues 100. Keep it above the tasks' max_deliveries.
    - `retention_seconds`: 13 days unless set. The dead-letter queue keeps messages for 14.
    - `max_message_bytes`: 1 MiB unless set.
    - `high_throughput`: FIFO only: limits and deduplication by message group.
    - `oldest_age_alarm_seconds`, `unfinished_receives_alarm`: when the alarms ring, see the alarms in main.tf.
    - `lambda`: has a Lambda function run the tasks. Exclusive there: `maximum_concurrency` and `provisioned_pollers`. With `enabled = false` it rests.
  EOT
  type = map(object({
    visibility_timeout_seconds = optional(number, 120)
    max_receive_count          = optional(number)
    retention_seconds          = optional(number, 1123200)
    max_message_bytes          = optional(number, 1048576)
    high_throughput            = optional(bool, false)
    oldest_age_alarm_seconds   = optional(number, 900)
    unfinished_receives_alarm  = optional(number, 100)
    lambda = optional(object({
      function_name            = string
      function_timeout_seconds = number
      enabled                  = optional(bool, true)
      batch_size               = optional(number, 10)
      batching_window_seconds  = optional(number, 0)
      maximum_concurrency      = optional(number)
      provisioned_pollers = optional(object({
        minimum = optional(number, 2)
        maximum = optional(number, 200)
      }))
    }))
  }))
  nullable = false

  validation {
    condition     = length(var.queues) > 0
    error_message = "queues is empty: name one at least, e.g. { emails = {} }."
  }
  validation {
    # With the prefix and "-dlq", 80 characters are what SQS takes.
    condition     = alltrue([for name, _ in var.queues : can(regex("^[A-Za-z0-9_-]{1,76}(\\.fifo)?$", name)) && length("${var.prefix}${name}") <= 76])
    error_message = "A queue's name has letters, digits, - and _, may end in .fifo, and leaves room for -dlq: 76 characters with the prefix."
  }
  validation {
    condition     = alltrue([for name, _ in var.queues : !endswith(trimsuffix(name, ".fifo"), "-dlq")])
    error_message = "A name that ends in -dlq is a dead-letter queue's: name the queue, and its dead-letter queue comes with it."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.visibility_timeout_seconds >= 1 && queue.visibility_timeout_seconds <= 43200])
    error_message = "visibility_timeout_seconds is 1 to 43200 (12 hours)."
  }
  validation {
    condition     = alltrue([for name, queue in var.queues : coalesce(queue.max_receive_count, 100) >= (endswith(name, ".fifo") ? 100 : 11) && coalesce(queue.max_receive_count, 100) <= 1000])
    error_message = "max_receive_count is a backstop behind the retry policy: 11 to 1000, on FIFO queues at least 100, since each retry of a group's first message counts."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.retention_seconds >= 3600 && queue.retention_seconds <= 1123200])
    error_message = "retention_seconds is 3600 to 1123200: a day less than the dead-letter queue's 14 days, which count on from the first send."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.max_message_bytes >= 1024 && queue.max_message_bytes <= 1048576])
    error_message = "max_message_bytes is 1024 to 1048576 (1 MiB)."
  }
  validation {
    condition     = alltrue([for name, queue in var.queues : endswith(name, ".fifo") || !queue.high_throughput])
    error_message = "high_throughput is for queues whose name ends in .fifo."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : queue.oldest_age_alarm_seconds >= 60 && queue.unfinished_receives_alarm >= 1])
    error_message = "oldest_age_alarm_seconds is 60 at least, unfinished_receives_alarm 1."
  }
  validation {
    # 1,800 s since November 2026; 900 before, which older SDKs and providers still hold to.
    condition     = alltrue([for _, queue in var.queues : try(queue.lambda.function_timeout_seconds >= 1 && queue.lambda.function_timeout_seconds <= 1800, queue.lambda == null)])
    error_message = "lambda.function_timeout_seconds is 1 to 1800, the longest that Lambda runs a function."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : try(queue.visibility_timeout_seconds >= 6 * queue.lambda.function_timeout_seconds + queue.lambda.batching_window_seconds, queue.lambda == null)])
    error_message = "visibility_timeout_seconds is at least 6 times lambda.function_timeout_seconds plus the batching window: Lambda tries a throttled batch again meanwhile."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : try(queue.lambda.maximum_concurrency == null || queue.lambda.provisioned_pollers == null, true)])
    error_message = "lambda.maximum_concurrency and lambda.provisioned_pollers exclude each other."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : try(queue.lambda.maximum_concurrency >= 2 && queue.lambda.maximum_concurrency <= 1000, true)])
    error_message = "lambda.maximum_concurrency is 2 to 1000."
  }
  validation {
    condition     = alltrue([for _, queue in var.queues : try(queue.lambda.provisioned_pollers.minimum >= 2 && queue.lambda.provisioned_pollers.minimum <= 200 && queue.lambda.provisioned_pollers.maximum >= queue.lambda.provisioned_pollers.minimum && queue.lambda.provisioned_pollers.maximum <= 10000, true)])
    error_message = "lambda.provisioned_pollers has a minimum of 2 to 200, and a maximum from that to 10000."
  }
  validation {
    condition = alltrue([for name, queue in var.queues : try(
      queue.lambda.batch_size >= 1 && queue.lambda.batch_size <= (endswith(name, ".fifo") ? 10 : 10000) &&
      queue.lambda.batching_window_seconds >= (queue.lambda.batch_size > 10 ? 1 : 0) &&
    queue.lambda.batching_window_seconds <= (endswith(name, ".fifo") ? 0 : 300), queue.lambda == null)])
    error_message = "lambda.batch_size is 1 to 10000 (FIFO: 10), above 10 with a batching window; lambda.batching_window_seconds is 0 to 300 (FIFO: 0)."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of your own for the queues and the table; the three policies get its grants. Without one SQS encrypts with a key of its own (SSE-SQS), DynamoDB with the account's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID; no alias, which a policy can't name."
  }
}

variable "name" {
  description = "What the policies', the alarms' and the role's names start with. Unique in the account."
  type        = string
  default     = "cloudq"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.name))
    error_message = "name has letters, digits, - and _, 1 to 40."
  }
}

variable "scheduler" {
  description = "Whether EventBridge Scheduler keeps what is delayed for longer than 15 minutes: makes its role, and lets producers and workers use it. Without it such messages hop."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators_may_purge" {
  description = "Whether the operator's policy has PurgeQueue on the queues (`cloudq purge`)."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators_may_move" {
  description = "Whether the operator's policy has the message move tasks on the dead-letter queues (`cloudq dlq redrive --all --by-service`)."
  type        = bool
  default     = false
  nullable    = false
}

variable "claim_check" {
  description = <<-EOT
    The bucket in which payloads lie that are too large for their queue; it isn't made here. Its rights are added to the producer's and the worker's policy, its URL to `environment`.

    - `prefix`: below which they lie.
    - `deletes`: whether workers delete a payload once its task has succeeded (`delete=acked`).
    - `kms_key_arn`: the KMS key of the bucket, if it has one of yours.
  EOT
  type = object({
    bucket      = string
    prefix      = optional(string, "")
    deletes     = optional(bool, false)
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.claim_check.bucket)) || var.claim_check == null
    error_message = "claim_check.bucket is the bucket's name, not its ARN or URL: 3 to 63 small letters, digits, dots and -."
  }
  validation {
    # What isn't there would have to be escaped in the URL, or be a wildcard in the policy.
    condition     = can(regex("^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$", var.claim_check.prefix)) || var.claim_check == null
    error_message = "claim_check.prefix has letters, digits, -, _ and dots, with / between, none at its start or end."
  }
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.claim_check.kms_key_arn)) || try(var.claim_check.kms_key_arn, null) == null
    error_message = "claim_check.kms_key_arn is the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID; no alias, which a policy can't name."
  }
}

variable "idempotency_table" {
  description = <<-EOT
    Makes a DynamoDB table for idempotency keys: hash key `id`, paid by request, encrypted, with point-in-time recovery; what has passed its `expires_at` DynamoDB deletes. Workers may read and write its items, operators read and delete them.

    - `name`: `NAME-idempotency` unless set, with the module's `name`.
    - `deletion_protection`: whether the table has to be unprotected before it is destroyed: without its keys what was done is done again.
  EOT
  type = object({
    name                = optional(string)
    deletion_protection = optional(bool, true)
  })
  default = null

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.idempotency_table.name)) || try(var.idempotency_table.name, null) == null
    error_message = "idempotency_table.name has letters, digits, -, _ and dots, 3 to 255."
  }
}

variable "alarm_actions" {
  description = "ARNs of what is told when an alarm rings and when it's over: topics of SNS, say. The alarms are made without any, too."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_actions) <= 5
    error_message = "alarm_actions are 5 at most: CloudWatch takes no more."
  }
  validation {
    condition     = alltrue([for arn in var.alarm_actions : can(regex("^arn:aws[a-z-]*:", arn))])
    error_message = "alarm_actions are ARNs."
  }
}

variable "tags" {
  description = "On everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 50 && alltrue([for key, value in var.tags : can(regex("^.{1,128}$", key)) && length(value) <= 256 && !startswith(lower(key), "aws:")])
    error_message = "tags are 50 at most; a key has 1 to 128 characters and doesn't start with aws:, a value has 256 at most."
  }
}
