# Who may do what, queue by queue. Nobody gets a role on the project.

locals {
  permissions = concat(
    # stats, queues check
    ["cloudtasks.tasks.list", "cloudtasks.queues.get"],
    # Pausing and resuming in an incident.
    ["cloudtasks.queues.pause", "cloudtasks.queues.resume"],
    # dlq; the full view is a message with its body.
    ["cloudtasks.tasks.get", "cloudtasks.tasks.fullView", "cloudtasks.tasks.create", "cloudtasks.tasks.delete"],
    var.operators_may_purge ? ["cloudtasks.queues.purge"] : [],
  )

  natives      = { for name, queue in local.queues : queue.native => google_cloud_tasks_queue.this[name].name }
  dead_natives = { for name, queue in local.queues : queue.dead => google_cloud_tasks_queue.dead[name].name }
  all_natives  = merge(local.natives, local.dead_natives)

  # By a text that a plan knows: "queue who".
  producing  = { for pair in setproduct(keys(local.natives), keys(var.producers)) : join(" ", pair) => { queue = local.natives[pair[0]], member = var.producers[pair[1]] } }
  working    = { for pair in setproduct(keys(local.all_natives), keys(var.workers)) : join(" ", pair) => { queue = local.all_natives[pair[0]], member = var.workers[pair[1]] } }
  operating  = { for pair in setproduct(keys(local.all_natives), keys(var.operators)) : join(" ", pair) => { queue = local.all_natives[pair[0]], member = var.operators[pair[1]] } }
  cancelling = var.producers_may_cancel ? local.producing : {}

  # Who makes a task with a token has to be allowed to act as its account; a redrive makes one, too.
  acting = merge(
    { for who, member in var.producers : "producer ${who}" => member },
    { for who, member in var.workers : "worker ${who}" => member },
    { for who, member in var.operators : "operator ${who}" => member },
  )
}

resource "google_cloud_tasks_queue_iam_member" "producer" {
  for_each = local.producing

  project  = var.project_id
  location = var.location
  name     = each.value.queue
  role     = "roles/cloudtasks.enqueuer"
  member   = each.value.member
}

resource "google_cloud_tasks_queue_iam_member" "cancelling" {
  for_each = local.cancelling

  project  = var.project_id
  location = var.location
  name     = each.value.queue
  role     = "roles/cloudtasks.taskDeleter"
  member   = each.value.member
}

# On the dead-letter queues, too: that is where a worker puts what has failed for good.
resource "google_cloud_tasks_queue_iam_member" "worker" {
  for_each = local.working

  project  = var.project_id
  location = var.location
  name     = each.value.queue
  role     = "roles/cloudtasks.enqueuer"
  member   = each.value.member
}

resource "google_project_iam_custom_role" "operator" {
  count = length(var.operators) > 0 ? 1 : 0

  project     = var.project_id
  role_id     = var.role_id
  title       = "cloudq operator"
  description = "Looks after queues: counts, checks, pauses, and handles dead letters."
  permissions = local.permissions
}

resource "google_cloud_tasks_queue_iam_member" "operator" {
  for_each = local.operating

  project  = var.project_id
  location = var.location
  name     = each.value.queue
  role     = google_project_iam_custom_role.operator[0].name
  member   = each.value.member
}

resource "google_service_account_iam_member" "acting" {
  for_each = local.acting

  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}
