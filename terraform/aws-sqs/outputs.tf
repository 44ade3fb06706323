output "cloudq_url" {
  description = "The backend's URL: what `CLOUDQ_URL` is set to, as it is."
  value       = local.url
}

output "environment" {
  description = "The environment variables of whatever sends or works."
  value = merge({
    CLOUDQ_URL = local.url
    AWS_REGION = local.region
  }, var.claim_check == null ? {} : { CLOUDQ_CLAIM_CHECK = local.claim_check_url })
}

output "queues" {
  description = "Each queue by the application's name for it: `name`, `arn` and `url` on SQS, and `dead_letter_name`, `dead_letter_arn` and `dead_letter_url`."
  value = {
    for name, queue in local.queues : name => {
      name             = queue.native
      arn              = local.arns[name]
      url              = aws_sqs_queue.this[name].url
      dead_letter_name = queue.dead
      dead_letter_arn  = local.dead_arns[name]
      dead_letter_url  = aws_sqs_queue.dead[name].url
    }
  }
}

output "policy_arns" {
  description = "The policies to attach to roles: `producer`, `worker` and `operator`."
  value       = { for who, policy in aws_iam_policy.this : who => policy.arn }
}

output "policy_documents" {
  description = "The same policies as JSON, for inline ones."
  value       = local.documents
}

output "scheduler_role_arn" {
  description = "The role of EventBridge Scheduler, or null."
  value       = var.scheduler ? aws_iam_role.scheduler[0].arn : null
}

output "idempotency_table" {
  description = "The table's `name` and `arn`, or null."
  value       = var.idempotency_table == null ? null : { name = aws_dynamodb_table.idempotency[0].name, arn = local.table_arn }
}
