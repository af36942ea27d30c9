# Four buckets, each with a life of its own: what was downloaded and prepared, what training wrote, what serves, and what
# Cloud Build is sent.
locals {
  buckets = {
    data    = { versions = 1, days = 365 }
    runs    = { versions = 1, days = 180 }
    sources = { versions = 1, days = 30 }
    bundles = { versions = 20, days = 0 } # a pointer's versions are kept; a bundle is never written again
  }
}

resource "google_storage_bucket" "this" {
  for_each = local.buckets

  name                        = "${var.project}-retentionjax-${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = each.value.versions > 1
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.days > 0 ? [each.value.days] : []

    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.versions > 1 ? [each.value.versions] : []

    content {
      action {
        type = "Delete"
      }
      condition {
        num_newer_versions = lifecycle_rule.value
      }
    }
  }

  depends_on = [google_project_service.api]
}
