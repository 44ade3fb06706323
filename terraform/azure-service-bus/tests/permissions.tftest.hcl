mock_provider "azurerm" {
  override_during = plan

  mock_resource "azurerm_servicebus_namespace" {
    defaults = { id = "the namespace" }
  }
  override_resource {
    target = azurerm_servicebus_queue.this["emails"]
    values = { id = "the queue emails" }
  }
  override_resource {
    target = azurerm_servicebus_queue.this["reports"]
    values = { id = "the queue reports" }
  }
}

variables {
  namespace_name      = "shop-queues"
  resource_group_name = "shop"
  location            = "westeurope"
  queues              = { emails = {}, reports = {} }
  producers           = { web = "11111111-1111-1111-1111-111111111111" }
  workers             = { worker = "22222222-2222-2222-2222-222222222222" }
  operators           = { on_call = "33333333-3333-3333-3333-333333333333" }
}

run "nobody_may_more_than_needed" {
  command = plan

  assert {
    condition = { for key, grant in azurerm_role_assignment.this : key => grant.role_definition_name } == {
      "operator emails on_call Azure Service Bus Data Owner"  = "Azure Service Bus Data Owner"
      "producer emails web Azure Service Bus Data Sender"     = "Azure Service Bus Data Sender"
      "worker emails worker Azure Service Bus Data Receiver"  = "Azure Service Bus Data Receiver"
      "worker emails worker Azure Service Bus Data Sender"    = "Azure Service Bus Data Sender"
      "operator reports on_call Azure Service Bus Data Owner" = "Azure Service Bus Data Owner"
      "producer reports web Azure Service Bus Data Sender"    = "Azure Service Bus Data Sender"
      "worker reports worker Azure Service Bus Data Receiver" = "Azure Service Bus Data Receiver"
      "worker reports worker Azure Service Bus Data Sender"   = "Azure Service Bus Data Sender"
    }
    error_message = "A producer sends, a worker receives and sends, an operator owns; queue by queue."
  }
  assert {
    condition = alltrue([for key, grant in azurerm_role_assignment.this : grant.principal_id == (
      startswith(key, "producer") ? var.producers.web : startswith(key, "worker") ? var.workers.worker : var.operators.on_call
    )])
    error_message = "Each role is its principal's."
  }
  assert {
    condition     = alltrue([for key, grant in azurerm_role_assignment.this : grant.scope == "the queue ${split(" ", key)[1]}"])
    error_message = "A role is on a queue, not on the namespace."
  }
}
