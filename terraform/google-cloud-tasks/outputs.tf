output "cloudq_url" {
  description = "The backend's URL: what `CLOUDQ_URL` is set to, as it is."
  value       = local.url
}

output "environment" {
  description = "The environment variables of whatever sends or works."
  value       = { CLOUDQ_URL = local.url }
}

output "queues" {
  description = "Each queue by the application's name for it: `name` and `id` on Cloud Tasks, and `dead_letter_name` and `dead_letter_id`."
  value = {
    for name, queue in local.queues : name => {
      name             = queue.native
      id               = google_cloud_tasks_queue.this[name].id
      dead_letter_name = queue.dead
      dead_letter_id   = google_cloud_tasks_queue.dead[name].id
    }
  }
}

output "invoker_email" {
  description = "The service account whose token comes with each push."
  value       = local.invoker
}

output "operator_role" {
  description = "The operators' role, or null if there are none."
  value       = one(google_project_iam_custom_role.operator[*].name)
}
