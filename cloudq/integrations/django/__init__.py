"""cloudq in a Django project: `"cloudq.integrations.django"` in `INSTALLED_APPS`, and `CLOUDQ` in its settings."""
