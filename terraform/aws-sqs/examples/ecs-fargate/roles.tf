locals {
  by_ecs = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })
}

# What the tasks themselves may do: the module's policy, and whatever your code needs.
resource "aws_iam_role" "worker" {
  name               = "shop-worker"
  assume_role_policy = local.by_ecs
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = module.queues.policy_arns["worker"]
}

# What ECS needs to start one: to pull the image, and to write logs.
resource "aws_iam_role" "start" {
  name               = "shop-worker-start"
  assume_role_policy = local.by_ecs
}

resource "aws_iam_role_policy_attachment" "start" {
  role       = aws_iam_role.start.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}
