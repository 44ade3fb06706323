mock_provider "google" {
  override_during = plan
  mock_resource "google_service_account" {
    defaults = {
      email = "cloudq-invoker@my-project.iam.gserviceaccount.com"
      name  = "projects/my-project/serviceAccounts/cloudq-invoker@my-project.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_project_iam_custom_role" {
    defaults = { name = "projects/my-project/roles/cloudqOperator" }
  }
}

variables {
  project_id = "my-project"
  location   = "europe-west1"
  target     = "https://worker.example/"
  queues     = { emails = {} }
  producers  = { web = "serviceAccount:web@my-project.iam.gserviceaccount.com" }
  workers    = { worker = "serviceAccount:worker@my-project.iam.gserviceaccount.com" }
  operators  = { on_call = "group:on-call@shop.example" }
}

run "nobody_may_more_than_needed" {
  command = plan

  assert {
    condition     = { for key, grant in google_cloud_tasks_queue_iam_member.producer : key => grant.role } == { "emails web" = "roles/cloudtasks.enqueuer" }
    error_message = "A producer sends to the queues, not to dead-letter queues."
  }
  assert {
    condition     = { for key, grant in google_cloud_tasks_queue_iam_member.worker : key => grant.role } == { "emails worker" = "roles/cloudtasks.enqueuer", "emails-dlq worker" = "roles/cloudtasks.enqueuer" }
    error_message = "A worker sends retries and dead letters."
  }
  assert {
    condition     = { for key, grant in google_cloud_tasks_queue_iam_member.operator : key => grant.member } == { "emails on_call" = "group:on-call@shop.example", "emails-dlq on_call" = "group:on-call@shop.example" } && alltrue([for grant in values(google_cloud_tasks_queue_iam_member.operator) : grant.role == "projects/my-project/roles/cloudqOperator"])
    error_message = "An operator has the role on the queues, not on the project."
  }
  assert {
    condition = google_project_iam_custom_role.operator[0].permissions == toset([
      "cloudtasks.tasks.list", "cloudtasks.tasks.get", "cloudtasks.tasks.fullView", "cloudtasks.tasks.create", "cloudtasks.tasks.delete",
      "cloudtasks.queues.get", "cloudtasks.queues.pause", "cloudtasks.queues.resume",
    ])
    error_message = "The role is what stats, check, pause and dlq take."
  }
  assert {
    condition     = length(google_cloud_tasks_queue_iam_member.cancelling) == 0
    error_message = "A producer deletes nothing unless asked for."
  }
  assert {
    condition     = toset(keys(google_service_account_iam_member.acting)) == toset(["producer web", "worker worker", "operator on_call"]) && alltrue([for grant in values(google_service_account_iam_member.acting) : grant.role == "roles/iam.serviceAccountUser" && endswith(grant.service_account_id, "/cloudq-invoker@my-project.iam.gserviceaccount.com")])
    error_message = "Who makes tasks acts as the invoker, and as no other account."
  }
}

run "each_option_adds_its_own" {
  command = plan

  variables {
    producers_may_cancel = true
    operators_may_purge  = true
    run_service          = { name = "worker", location = "europe-west4" }
  }

  assert {
    condition     = { for key, grant in google_cloud_tasks_queue_iam_member.cancelling : key => grant.role } == { "emails web" = "roles/cloudtasks.taskDeleter" }
    error_message = "Cancelling is a producer's right to delete."
  }
  assert {
    condition     = contains(google_project_iam_custom_role.operator[0].permissions, "cloudtasks.queues.purge")
    error_message = "Purging is asked for."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker[0].role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.invoker[0].member == "serviceAccount:cloudq-invoker@my-project.iam.gserviceaccount.com" && google_cloud_run_v2_service_iam_member.invoker[0].location == "europe-west4"
    error_message = "The invoker, and nobody else, is let call the worker."
  }
}
