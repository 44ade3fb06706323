# Who may do what, queue by queue. Nobody gets a role on the namespace.

locals {
  # By a text that a plan knows: "queue who role".
  grants = merge([for who, grant in {
    producer = { principals = var.producers, roles = ["Azure Service Bus Data Sender"] }
    # It sends retries, too; dead letters it moves by settling.
    worker = { principals = var.workers, roles = ["Azure Service Bus Data Receiver", "Azure Service Bus Data Sender"] }
    # Counts and a queue's state are the administration's, which takes the owner's role.
    operator = { principals = var.operators, roles = ["Azure Service Bus Data Owner"] }
    } : {
    for triple in setproduct(keys(local.queues), keys(grant.principals), grant.roles) :
    "${who} ${join(" ", triple)}" => { queue = triple[0], principal = grant.principals[triple[1]], role = triple[2] }
  }]...)
}

resource "azurerm_role_assignment" "this" {
  for_each = local.grants

  scope                = azurerm_servicebus_queue.this[each.value.queue].id
  role_definition_name = each.value.role
  principal_id         = each.value.principal
}
