output "cloudq_url" {
  description = "The backend's URL: what `CLOUDQ_URL` is set to, as it is."
  value       = local.url
}

output "environment" {
  description = "The environment variables of whatever sends or works."
  value       = { CLOUDQ_URL = local.url }
}

output "namespace_id" {
  description = "The namespace's resource id, for a private endpoint or diagnostics."
  value       = azurerm_servicebus_namespace.this.id
}

output "principal_id" {
  description = "The namespace's own identity."
  value       = one(azurerm_servicebus_namespace.this.identity[*].principal_id)
}

output "queues" {
  description = "Each queue by the application's name for it: `name` on Service Bus, and its resource `id`."
  value       = { for name, queue in local.queues : name => { name = queue.native, id = azurerm_servicebus_queue.this[name].id } }
}
