# What the worker may do comes from the module: it receives and sends.
resource "azurerm_user_assigned_identity" "worker" {
  name                = "shop-worker"
  resource_group_name = var.resource_group_name
  location            = var.location
}

resource "azurerm_federated_identity_credential" "worker" {
  name                      = "worker"
  user_assigned_identity_id = azurerm_user_assigned_identity.worker.id
  issuer                    = var.issuer
  subject                   = "system:serviceaccount:shop:worker"
  audience                  = ["api://AzureADTokenExchange"]
}

# Counting takes the role of an owner, which the worker does not get.
resource "azurerm_user_assigned_identity" "scaler" {
  name                = "shop-scaler"
  resource_group_name = var.resource_group_name
  location            = var.location
}

resource "azurerm_federated_identity_credential" "scaler" {
  name                      = "keda-operator"
  user_assigned_identity_id = azurerm_user_assigned_identity.scaler.id
  issuer                    = var.issuer
  # Where KEDA is AKS's add-on it lives in kube-system.
  subject  = "system:serviceaccount:keda:keda-operator"
  audience = ["api://AzureADTokenExchange"]
}
