resource "aws_lambda_function" "worker" {
  # checkov:skip=CKV_AWS_50: whether calls are traced is the application's to choose.
  # checkov:skip=CKV_AWS_115: the mapping's maximum_concurrency bounds it; a reservation would take from the account's.
  # checkov:skip=CKV_AWS_116: that queue is for asynchronous calls. Dead letters of a mapping are those of its queue.
  # checkov:skip=CKV_AWS_117: it talks to AWS's own services, which takes no network of yours.
  # checkov:skip=CKV_AWS_173: no secret is in its variables.
  # checkov:skip=CKV_AWS_272: signing is the build's, and that isn't here.
  function_name = "shop-worker"
  role          = aws_iam_role.worker.arn
  runtime       = "python3.13"
  handler       = "function.handler"
  filename      = var.package
  # Before the first build there is no file yet.
  source_code_hash = try(filebase64sha256(var.package), null)
  timeout          = local.timeout
  memory_size      = 512

  environment {
    # AWS_REGION is Lambda's own, and may not be set.
    variables = { for name, value in module.queues.environment : name => value if name != "AWS_REGION" }
  }

  depends_on = [aws_cloudwatch_log_group.worker]
}

# Lambda polls with this role, too: what that takes is in the policy.
resource "aws_iam_role" "worker" {
  name = "shop-worker"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = module.queues.policy_arns["worker"]
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.worker.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_cloudwatch_log_group" "worker" {
  # checkov:skip=CKV_AWS_158: CloudWatch encrypts logs, with a key of its own.
  # checkov:skip=CKV_AWS_338: a month of a worker's logs is enough to look into a failure, and payloads aren't logged.
  name              = "/aws/lambda/shop-worker"
  retention_in_days = 30
}
