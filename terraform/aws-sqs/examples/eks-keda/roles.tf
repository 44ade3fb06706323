locals {
  by_pods = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role" "worker" {
  name               = "shop-worker"
  assume_role_policy = local.by_pods
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = module.queues.policy_arns["worker"]
}

resource "aws_eks_pod_identity_association" "worker" {
  cluster_name    = var.cluster
  namespace       = "shop"
  service_account = "worker"
  role_arn        = aws_iam_role.worker.arn
}

# KEDA counts, and may do nothing else. It has one role in a cluster: if yours has one already, give that one this policy.
resource "aws_iam_role" "keda" {
  name               = "shop-keda"
  assume_role_policy = local.by_pods
}

resource "aws_iam_role_policy" "keda" {
  name = "count"
  role = aws_iam_role.keda.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "sqs:GetQueueAttributes"
      Resource = [for queue in module.queues.queues : queue.arn]
    }]
  })
}

resource "aws_eks_pod_identity_association" "keda" {
  cluster_name    = var.cluster
  namespace       = "keda"
  service_account = "keda-operator"
  role_arn        = aws_iam_role.keda.arn
}
