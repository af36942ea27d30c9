# The service reads its two as files; the daily comparison the ledger's address; a deployment its key of role decide.
locals {
  secrets = {
    ledger-url     = toset(["server", "watcher"])
    console-secret = toset(["server"])
    smoke-key      = toset(["deployer"])
  }

  secret_readers = merge([
    for secret, accounts in local.secrets : {
      for account in accounts : "${secret}-${account}" => { secret = secret, account = account }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  secret_id = "retentionjax-${each.key}"

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_readers

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this[each.value.account].member
}

resource "random_password" "console" {
  length  = 48
  special = false
}

resource "google_secret_manager_secret_version" "console" {
  secret      = google_secret_manager_secret.this["console-secret"].id
  secret_data = random_password.console.result
}

resource "google_secret_manager_secret_version" "ledger" {
  count = var.database ? 1 : 0

  secret      = google_secret_manager_secret.this["ledger-url"].id
  secret_data = "postgresql://${google_sql_user.ledger[0].name}:${random_password.ledger[0].result}@/${google_sql_database.ledger[0].name}?host=/cloudsql/${google_sql_database_instance.ledger[0].connection_name}"
}
