locals {
  bundle      = "gs://${google_storage_bucket.this["bundles"].name}/${var.pointer}"
  connections = google_sql_database_instance.ledger[*].connection_name
}

resource "google_cloud_run_v2_service" "decisions" {
  name                = "retentionjax"
  description         = "Whom to contact, with which offer, and when, under a budget."
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL" # and every caller is checked by IAM
  deletion_protection = var.deletion_protection

  template {
    service_account                  = google_service_account.this["server"].email
    max_instance_request_concurrency = var.concurrency
    timeout                          = "30s"
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      min_instance_count = var.instances.min
      max_instance_count = var.instances.max
    }

    containers {
      name  = "decisions"
      image = var.image
      args  = ["serve", "--host", "0.0.0.0", "--port", "8080"]

      ports {
        container_port = 8080
      }

      env {
        name  = "RETENTIONJAX_BUNDLE"
        value = local.bundle
      }

      env {
        name  = "RETENTIONJAX_DATABASE_FILE"
        value = "/secrets/ledger/url"
      }

      env {
        name  = "RETENTIONJAX_CONSOLE_SECRET_FILE"
        value = "/secrets/console/secret"
      }

      env {
        name  = "RETENTIONJAX_SECURE_COOKIES"
        value = "true"
      }

      env {
        name  = "RETENTIONJAX_OPEN_METRICS" # to the collector beside it; callers from outside pass IAM first
        value = "true"
      }

      resources {
        limits = {
          cpu    = tostring(var.cpu)
          memory = "${var.memory_gib}Gi"
        }
        cpu_idle          = false # the ledger's housekeeping and the pointer's poll go on between requests
        startup_cpu_boost = true
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 3
        failure_threshold = 36

        http_get {
          path = "/readyz"
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 15
        timeout_seconds   = 5
        failure_threshold = 4

        http_get {
          path = "/healthz" # asked inside; from outside Cloud Run keeps this path for itself
          port = 8080
        }
      }

      volume_mounts {
        name       = "ledger"
        mount_path = "/secrets/ledger"
      }

      volume_mounts {
        name       = "console"
        mount_path = "/secrets/console"
      }

      dynamic "volume_mounts" {
        for_each = local.connections

        content {
          name       = "cloudsql"
          mount_path = "/cloudsql"
        }
      }
    }

    # Google's collector: scrapes /metrics at port 8080 and writes to Managed Service for Prometheus.
    containers {
      name       = "collector"
      image      = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
      depends_on = ["decisions"]
    }

    volumes {
      name = "ledger"

      secret {
        secret = google_secret_manager_secret.this["ledger-url"].secret_id

        items {
          version = "latest"
          path    = "url"
        }
      }
    }

    volumes {
      name = "console"

      secret {
        secret = google_secret_manager_secret.this["console-secret"].secret_id

        items {
          version = "latest"
          path    = "secret"
        }
      }
    }

    dynamic "volumes" {
      for_each = local.connections

      content {
        name = "cloudsql"

        cloud_sql_instance {
          instances = [volumes.value]
        }
      }
    }
  }

  # Images and traffic between revisions are the pipeline's business once the service stands.
  lifecycle {
    ignore_changes = [client, client_version, template[0].revision, template[0].containers[0].image, traffic]
  }

  depends_on = [
    google_project_service.api,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.console,
    google_secret_manager_secret_version.ledger,
    google_storage_bucket_iam_member.this,
  ]
}

# --- once a day: is what happens still what the models say? -------------------------------------------------------

resource "google_cloud_run_v2_job" "monitor" {
  name                = "retentionjax-monitor"
  location            = var.region
  deletion_protection = var.deletion_protection

  template {
    template {
      service_account = google_service_account.this["watcher"].email
      max_retries     = 0 # a failed execution is an alarm, not an accident
      timeout         = "1800s"

      containers {
        image   = var.image
        command = ["sh", "-c"]
        args    = ["RETENTIONJAX_DATABASE=\"$(cat /secrets/ledger/url)\" exec retentionjax monitor --bundle ${local.bundle}"]

        resources {
          limits = {
            cpu    = "2"
            memory = "4Gi"
          }
        }

        volume_mounts {
          name       = "ledger"
          mount_path = "/secrets/ledger"
        }

        dynamic "volume_mounts" {
          for_each = local.connections

          content {
            name       = "cloudsql"
            mount_path = "/cloudsql"
          }
        }
      }

      volumes {
        name = "ledger"

        secret {
          secret = google_secret_manager_secret.this["ledger-url"].secret_id

          items {
            version = "latest"
            path    = "url"
          }
        }
      }

      dynamic "volumes" {
        for_each = local.connections

        content {
          name = "cloudsql"

          cloud_sql_instance {
            instances = [volumes.value]
          }
        }
      }
    }
  }

  depends_on = [
    google_project_service.api,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.ledger,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "watcher" {
  name     = google_cloud_run_v2_job.monitor.name
  location = google_cloud_run_v2_job.monitor.location
  role     = "roles/run.invoker"
  member   = google_service_account.this["watcher"].member
}

resource "google_cloud_scheduler_job" "monitor" {
  name      = "retentionjax-monitor"
  region    = var.region
  schedule  = "0 6 * * *"
  time_zone = "Etc/UTC"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.monitor.id}:run"

    oauth_token {
      service_account_email = google_service_account.this["watcher"].email
    }
  }

  depends_on = [google_project_service.api]
}
