resource "azurerm_service_plan" "shop" {
  # checkov:skip=CKV_AZURE_212: Flex Consumption has as many instances as there is work, also none.
  # checkov:skip=CKV_AZURE_225: two zones take instances that are always ready; messages wait in the queue meanwhile.
  name                = "shop"
  resource_group_name = var.resource_group_name
  location            = var.location
  os_type             = "Linux"
  sku_name            = "FC1" # Flex Consumption
}

# The host's own storage, and the package's. It goes by a key: with an identity the provider still sets an empty
# AzureWebJobsStorage, and the host doesn't start (hashicorp/terraform-provider-azurerm, issue 29693).
resource "azurerm_storage_account" "functions" {
  # checkov:skip=CKV_AZURE_33: the host's own bookkeeping: no queue is in it.
  # checkov:skip=CKV_AZURE_59: without a public address a private endpoint is needed, and a network.
  # checkov:skip=CKV_AZURE_206: what is in it is deployed anew.
  # checkov:skip=CKV2_AZURE_1: the service's own key encrypts it.
  # checkov:skip=CKV2_AZURE_33: without a public address a private endpoint is needed, and a network.
  # checkov:skip=CKV2_AZURE_38: what is in it is deployed anew.
  # checkov:skip=CKV2_AZURE_40: the host goes by the key, see above.
  # checkov:skip=CKV2_AZURE_41: nobody is given a signature.
  name                     = "shopfunctions"
  resource_group_name      = var.resource_group_name
  location                 = var.location
  account_tier             = "Standard"
  account_replication_type = "LRS"

  min_tls_version                 = "TLS1_2"
  allow_nested_items_to_be_public = false
}

resource "azurerm_storage_container" "package" {
  # checkov:skip=CKV2_AZURE_21: only the host reads it, when it starts.
  name               = "package"
  storage_account_id = azurerm_storage_account.functions.id
}

resource "azurerm_function_app_flex_consumption" "worker" {
  name                = "shop-worker"
  resource_group_name = var.resource_group_name
  location            = var.location
  service_plan_id     = azurerm_service_plan.shop.id
  runtime_name        = "python"
  runtime_version     = "3.12"
  zip_deploy_file     = var.package
  https_only          = true

  storage_container_type      = "blobContainer"
  storage_container_endpoint  = "${azurerm_storage_account.functions.primary_blob_endpoint}${azurerm_storage_container.package.name}"
  storage_authentication_type = "StorageAccountConnectionString"
  storage_access_key          = azurerm_storage_account.functions.primary_access_key

  # The scaling's upper end; the host scales by itself.
  maximum_instance_count = 40
  instance_memory_in_mb  = 2048

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.worker.id]
  }

  app_settings = merge(module.queues.environment, {
    # cloudq's own connection, for retries and dead letters.
    AZURE_CLIENT_ID = azurerm_user_assigned_identity.worker.client_id
    # The trigger's: connection="ServiceBus" in function_app.py.
    ServiceBus__fullyQualifiedNamespace = "shop-queues.servicebus.windows.net"
    ServiceBus__credential              = "managedidentity"
    ServiceBus__clientId                = azurerm_user_assigned_identity.worker.client_id
  })

  site_config {}
}
