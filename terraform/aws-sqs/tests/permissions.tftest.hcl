mock_provider "aws" {
  override_during = plan
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
}

variables {
  queues = { emails = {} }
}

run "nobody_may_more_than_needed" {
  command = plan

  assert {
    condition = jsondecode(output.policy_documents.producer).Statement == [
      { Sid = "Send", Effect = "Allow", Action = "sqs:SendMessage", Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails"] },
    ]
    error_message = "A producer sends to the queues."
  }
  assert {
    condition = jsondecode(output.policy_documents.worker).Statement == [
      { Sid = "Work", Effect = "Allow", Action = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"], Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails"] },
      { Sid = "SendOn", Effect = "Allow", Action = "sqs:SendMessage", Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails", "arn:aws:sqs:eu-west-1:123456789012:emails-dlq"] },
    ]
    error_message = "A worker receives and settles, and sends retries and dead letters."
  }
  assert {
    condition = jsondecode(output.policy_documents.operator).Statement == [
      { Sid = "Count", Effect = "Allow", Action = "sqs:GetQueueAttributes", Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails", "arn:aws:sqs:eu-west-1:123456789012:emails-dlq"] },
      { Sid = "HandleDeadLetters", Effect = "Allow", Action = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"], Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails-dlq"] },
      { Sid = "Redrive", Effect = "Allow", Action = "sqs:SendMessage", Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails"] },
    ]
    error_message = "An operator counts, and handles dead letters; the queues' own messages are none of theirs."
  }
  assert {
    condition     = alltrue([for who in ["producer", "worker", "operator"] : aws_iam_policy.this[who].policy == output.policy_documents[who] && aws_iam_policy.this[who].name == "cloudq-${who}"])
    error_message = "The policies are the documents."
  }
}

run "each_option_adds_its_own_statement" {
  command = plan

  variables {
    scheduler           = true
    operators_may_purge = true
    operators_may_move  = true
    queues = {
      emails = {
        visibility_timeout_seconds = 60
        lambda                     = { function_name = "emails", function_timeout_seconds = 10 }
      }
      reports = {}
    }
  }

  assert {
    condition     = [for statement in jsondecode(output.policy_documents.producer).Statement : statement.Sid] == ["Send", "KeepLongDelays", "PassTheSchedulersRole"]
    error_message = "A producer makes schedules, and passes the role."
  }
  assert {
    condition     = [for statement in jsondecode(output.policy_documents.worker).Statement : statement.Sid] == ["Work", "SendOn", "LookForLambda", "KeepLongDelays", "PassTheSchedulersRole"]
    error_message = "So does a worker; Lambda looks at the queue with its role."
  }
  assert {
    condition     = jsondecode(output.policy_documents.worker).Statement[2].Resource == ["arn:aws:sqs:eu-west-1:123456789012:emails"]
    error_message = "Lambda looks at its own queues only."
  }
  assert {
    condition     = [for statement in jsondecode(output.policy_documents.operator).Statement : statement.Sid] == ["Count", "HandleDeadLetters", "Redrive", "Purge", "Move"]
    error_message = "An operator purges and moves where that is asked for."
  }
  assert {
    condition     = jsondecode(output.policy_documents.producer).Statement[2].Resource == "arn:aws:iam::123456789012:role/cloudq-scheduler" && jsondecode(output.policy_documents.producer).Statement[2].Condition == { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
    error_message = "The one role is passed, to the one service."
  }
  assert {
    condition     = jsondecode(aws_iam_role.scheduler[0].assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } } && jsondecode(aws_iam_role.scheduler[0].assume_role_policy).Statement[0].Principal == { Service = "scheduler.amazonaws.com" }
    error_message = "Only this account's schedules use the role."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.scheduler[0].policy).Statement == [{ Sid = "Send", Effect = "Allow", Action = "sqs:SendMessage", Resource = ["arn:aws:sqs:eu-west-1:123456789012:emails", "arn:aws:sqs:eu-west-1:123456789012:reports", "arn:aws:sqs:eu-west-1:123456789012:emails-dlq", "arn:aws:sqs:eu-west-1:123456789012:reports-dlq"] }]
    error_message = "A schedule sends to the queues and their dead-letter queues."
  }
  assert {
    condition     = output.cloudq_url == "sqs://eu-west-1?account=123456789012&scheduler_role=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fcloudq-scheduler"
    error_message = "The URL names the role, percent-encoded."
  }
}

run "claim_checks" {
  command = plan

  variables {
    claim_check = { bucket = "shop-payloads", prefix = "a/b", deletes = true, kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }

  assert {
    condition = slice(jsondecode(output.policy_documents.producer).Statement, 1, 3) == [
      { Sid = "StoreLargePayloads", Effect = "Allow", Action = "s3:PutObject", Resource = "arn:aws:s3:::shop-payloads/a/b/*" },
      { Sid = "UseTheBucketsKey", Effect = "Allow", Action = "kms:GenerateDataKey", Resource = var.claim_check.kms_key_arn },
    ]
    error_message = "A producer stores payloads, and reads none."
  }
  assert {
    condition = jsonencode(slice(jsondecode(output.policy_documents.worker).Statement, 2, 6)) == jsonencode([
      { Sid = "FetchLargePayloads", Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::shop-payloads/a/b/*" },
      { Sid = "KnowWhatIsMissing", Effect = "Allow", Action = "s3:ListBucket", Resource = "arn:aws:s3:::shop-payloads" },
      { Sid = "DeleteLargePayloads", Effect = "Allow", Action = "s3:DeleteObject", Resource = "arn:aws:s3:::shop-payloads/a/b/*" },
      { Sid = "UseTheBucketsKey", Effect = "Allow", Action = "kms:Decrypt", Resource = var.claim_check.kms_key_arn },
    ])
    error_message = "A worker fetches payloads, and deletes them where that is asked for."
  }
  assert {
    condition     = output.environment.CLOUDQ_CLAIM_CHECK == "s3://shop-payloads/a/b?delete=acked"
    error_message = "Sender and worker name one store."
  }
}

run "claim_checks_without_more" {
  command = plan

  variables {
    claim_check = { bucket = "shop-payloads" }
  }

  assert {
    condition     = [for statement in jsondecode(output.policy_documents.worker).Statement : statement.Sid] == ["Work", "SendOn", "FetchLargePayloads", "KnowWhatIsMissing"]
    error_message = "A worker deletes no payload unless that is asked for."
  }
  assert {
    condition     = jsondecode(output.policy_documents.producer).Statement[1].Resource == "arn:aws:s3:::shop-payloads/*" && output.environment.CLOUDQ_CLAIM_CHECK == "s3://shop-payloads"
    error_message = "Without a prefix payloads lie in the bucket itself."
  }
}

run "a_table_of_keys" {
  command = plan

  variables {
    idempotency_table = {}
  }

  assert {
    condition     = jsondecode(output.policy_documents.worker).Statement[2] == { Sid = "KeepKeys", Effect = "Allow", Action = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], Resource = "arn:aws:dynamodb:eu-west-1:123456789012:table/cloudq-idempotency" }
    error_message = "A worker reads and writes items of the one table."
  }
  assert {
    condition     = jsondecode(output.policy_documents.operator).Statement[3] == { Sid = "LookAtKeys", Effect = "Allow", Action = ["dynamodb:DeleteItem", "dynamodb:GetItem"], Resource = "arn:aws:dynamodb:eu-west-1:123456789012:table/cloudq-idempotency" }
    error_message = "An operator shows and forgets keys."
  }
  assert {
    condition     = length(jsondecode(output.policy_documents.producer).Statement) == 1
    error_message = "A producer has nothing to do with the table."
  }
}
