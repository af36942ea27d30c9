resource "random_password" "ledger" {
  count = var.database ? 1 : 0

  length  = 40
  special = false
}

# Reached through Cloud SQL's own connector, which checks IAM and encrypts: no network is authorised to connect.
resource "google_sql_database_instance" "ledger" {
  count = var.database ? 1 : 0

  name                = "retentionjax-ledger"
  region              = var.region
  database_version    = "POSTGRES_16"
  deletion_protection = var.deletion_protection

  settings {
    tier                        = var.database_tier
    edition                     = "ENTERPRISE"
    availability_type           = "REGIONAL"
    disk_autoresize             = true
    deletion_protection_enabled = var.deletion_protection

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      start_time                     = "03:00"
    }

    ip_configuration {
      ipv4_enabled = true
      ssl_mode     = "ENCRYPTED_ONLY"
    }

    insights_config {
      query_insights_enabled = true
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_sql_database" "ledger" {
  count = var.database ? 1 : 0

  name     = "ledger"
  instance = google_sql_database_instance.ledger[0].name
}

resource "google_sql_user" "ledger" {
  count = var.database ? 1 : 0

  name     = "retentionjax"
  instance = google_sql_database_instance.ledger[0].name
  password = random_password.ledger[0].result
}
