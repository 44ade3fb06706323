# Who may do what, as documents. They are written here rather than by aws_iam_policy_document so that a plan shows them.

locals {
  all_arns      = concat(values(local.arns), values(local.dead_arns))
  lambda_arns   = [for name, queue in local.queues : local.arns[name] if queue.lambda != null]
  scheduler_use = var.scheduler ? [1] : []

  tls_only = {
    for arn in local.all_arns : arn => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }]
    })
  }

  # SQS decrypts when it hands a message over, and makes data keys when it takes one.
  key = [for arn in var.kms_key_arn[*] : {
    Sid      = "UseTheKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = arn
  }]

  schedules = [for _ in local.scheduler_use : {
    Sid      = "KeepLongDelays"
    Effect   = "Allow"
    Action   = "scheduler:CreateSchedule"
    Resource = "arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule/default/*"
  }]
  pass_role = [for _ in local.scheduler_use : {
    Sid       = "PassTheSchedulersRole"
    Effect    = "Allow"
    Action    = "iam:PassRole"
    Resource  = local.scheduler_arn
    Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
  }]

  # Payloads that are too large for their queue. What a worker's tasks send is sent with a producer's policy, if it may be
  # large; copies and dead letters share the payload that is there.
  objects = [for store in var.claim_check[*] : "arn:${local.partition}:s3:::${store.bucket}/${store.prefix == "" ? "" : "${store.prefix}/"}*"]
  buckets = [for store in var.claim_check[*] : "arn:${local.partition}:s3:::${store.bucket}"]
  claim_checks = {
    producer = concat([for objects in local.objects : {
      Sid      = "StoreLargePayloads"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = objects
      }], [for arn in try(var.claim_check.kms_key_arn, null)[*] : {
      Sid      = "UseTheBucketsKey"
      Effect   = "Allow"
      Action   = "kms:GenerateDataKey"
      Resource = arn
    }])

    worker = concat([for objects in local.objects : {
      Sid      = "FetchLargePayloads"
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = objects
      }], [for bucket in local.buckets : {
      # Without it S3 says "forbidden" of what isn't there, and the message would wait for a right that doesn't help it.
      Sid      = "KnowWhatIsMissing"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = bucket
      }], [for objects in try(var.claim_check.deletes, false) ? local.objects : [] : {
      Sid      = "DeleteLargePayloads"
      Effect   = "Allow"
      Action   = "s3:DeleteObject"
      Resource = objects
      }], [for arn in try(var.claim_check.kms_key_arn, null)[*] : {
      Sid      = "UseTheBucketsKey"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = arn
    }])
  }

  # An item at a time, with conditions: no query, no scan, and nothing of the table itself.
  tables = [for _ in var.idempotency_table[*] : local.table_arn]

  # A batch call has no action of its own: SendMessageBatch is allowed by SendMessage, and so on. GetQueueUrl isn't called,
  # since cloudq_url names the account.
  statements = {
    producer = concat([
      {
        Sid      = "Send"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = values(local.arns)
      },
    ], local.claim_checks.producer, local.schedules, local.pass_role, local.key)

    worker = concat([
      {
        Sid      = "Work"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
        Resource = values(local.arns)
      },
      {
        # Retries go to the queue, what has failed for good to its dead-letter queue.
        Sid      = "SendOn"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.all_arns
      },
      ], [for arns in length(local.lambda_arns) > 0 ? [local.lambda_arns] : [] : {
        # Lambda polls with the function's role.
        Sid      = "LookForLambda"
        Effect   = "Allow"
        Action   = "sqs:GetQueueAttributes"
        Resource = arns
        }], local.claim_checks.worker, [for arn in local.tables : {
        Sid      = "KeepKeys"
        Effect   = "Allow"
        Action   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
        Resource = arn
    }], local.schedules, local.pass_role, local.key)

    operator = concat([
      {
        Sid      = "Count"
        Effect   = "Allow"
        Action   = "sqs:GetQueueAttributes"
        Resource = local.all_arns
      },
      {
        Sid      = "HandleDeadLetters"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
        Resource = values(local.dead_arns)
      },
      {
        Sid      = "Redrive"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = values(local.arns)
      },
      ], [for _ in var.operators_may_purge ? [1] : [] : {
        Sid      = "Purge"
        Effect   = "Allow"
        Action   = "sqs:PurgeQueue"
        Resource = values(local.arns)
        }], [for _ in var.operators_may_move ? [1] : [] : {
        Sid      = "Move"
        Effect   = "Allow"
        Action   = ["sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:StartMessageMoveTask"]
        Resource = values(local.dead_arns)
        }], [for arn in local.tables : {
        Sid      = "LookAtKeys"
        Effect   = "Allow"
        Action   = ["dynamodb:DeleteItem", "dynamodb:GetItem"]
        Resource = arn
    }], local.key)
  }

  documents = { for who, statements in local.statements : who => jsonencode({ Version = "2012-10-17", Statement = statements }) }
}

resource "aws_iam_policy" "this" {
  for_each = local.documents

  name        = "${var.name}-${each.key}"
  description = "What a ${each.key} of cloudq's queues may do."
  policy      = each.value
  tags        = var.tags

  lifecycle {
    precondition {
      condition     = length(each.value) <= 6144
      error_message = "The ${each.key}'s policy has ${length(each.value)} characters and IAM takes 6144: spread the queues over several calls of this module."
    }
  }
}

resource "aws_iam_role" "scheduler" {
  count = var.scheduler ? 1 : 0

  name        = local.role_name
  description = "By which EventBridge Scheduler sends what cloudq delayed."
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      # Else another account's schedules could use it.
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  count = var.scheduler ? 1 : 0

  name = "send"
  role = aws_iam_role.scheduler[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "Send"
      Effect   = "Allow"
      Action   = "sqs:SendMessage"
      Resource = local.all_arns
    }], local.key)
  })
}
