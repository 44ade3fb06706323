resource "google_service_account" "worker" {
  project      = var.project_id
  account_id   = "shop-worker"
  display_name = "shop: the worker"
}

# No key is kept: the worker shows AWS the token that Google gives it. AWS knows Google as an issuer by itself.
resource "aws_iam_role" "worker" {
  name = "shop-worker"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "accounts.google.com" }
      Condition = {
        StringEquals = {
          # This account alone, with a token that was made for this purpose.
          "accounts.google.com:sub"  = google_service_account.worker.unique_id
          "accounts.google.com:oaud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = module.queues.policy_arns["worker"]
}
