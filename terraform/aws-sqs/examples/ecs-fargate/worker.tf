resource "aws_ecs_task_definition" "worker" {
  family                   = "shop-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.worker.arn

  container_definitions = jsonencode([{
    name        = "worker"
    image       = var.image
    command     = ["cloudq", "worker", "--grace", "110", "--health", "8080", "--log-format", "json"]
    environment = [for name, value in module.queues.environment : { name = name, value = value }]

    # The most that Fargate allows, and a little more than the grace.
    stopTimeout            = 120
    readonlyRootFilesystem = true

    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.worker.name
        awslogs-region        = module.queues.environment["AWS_REGION"]
        awslogs-stream-prefix = "worker"
      }
    }
  }])
}

resource "aws_ecs_cluster" "shop" {
  name = "shop"

  # Counts the tasks that run, which scaling.tf needs.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_service" "worker" {
  name            = "worker"
  cluster         = aws_ecs_cluster.shop.arn
  task_definition = aws_ecs_task_definition.worker.arn
  launch_type     = "FARGATE"
  desired_count   = 1

  network_configuration {
    subnets         = var.subnet_ids
    security_groups = var.security_group_ids
  }

  # New workers first, then the old ones stop: see "Deploy, and change a task".
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # A worker without its rights would only log refusals.
  depends_on = [aws_iam_role_policy_attachment.worker]

  lifecycle {
    ignore_changes = [desired_count] # scaling.tf's
  }
}

resource "aws_cloudwatch_log_group" "worker" {
  # checkov:skip=CKV_AWS_158: CloudWatch encrypts logs, with a key of its own.
  # checkov:skip=CKV_AWS_338: a month of a worker's logs is enough to look into a failure, and payloads aren't logged.
  name              = "/shop/worker"
  retention_in_days = 30
}
