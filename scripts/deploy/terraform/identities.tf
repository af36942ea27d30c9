# One account a task, each with what that task needs and no more; bindings are to single resources where there are such.
locals {
  accounts = {
    server   = "Runs the decision service: reads bundles, keeps the ledger."
    trainer  = "Runs training jobs: reads data, writes runs."
    promoter = "Moves the pointer to the current bundle."
    deployer = "Deploys from the main branch: pushes images, makes revisions."
    watcher  = "Runs the daily comparison of outcomes with predictions."
  }

  bucket_roles = {
    server-bundles   = { account = "server", bucket = "bundles", role = "roles/storage.objectViewer" }
    watcher-bundles  = { account = "watcher", bucket = "bundles", role = "roles/storage.objectViewer" }
    trainer-data     = { account = "trainer", bucket = "data", role = "roles/storage.objectViewer" }
    trainer-runs     = { account = "trainer", bucket = "runs", role = "roles/storage.objectUser" }
    promoter-runs    = { account = "promoter", bucket = "runs", role = "roles/storage.objectViewer" }
    promoter-bundles = { account = "promoter", bucket = "bundles", role = "roles/storage.objectUser" }
    deployer-sources = { account = "deployer", bucket = "sources", role = "roles/storage.objectUser" }
  }

  project_roles = {
    server-metrics   = { account = "server", role = "roles/monitoring.metricWriter" }
    server-traces    = { account = "server", role = "roles/cloudtrace.agent" }
    server-database  = { account = "server", role = "roles/cloudsql.client" }
    watcher-database = { account = "watcher", role = "roles/cloudsql.client" }
    trainer-logs     = { account = "trainer", role = "roles/logging.logWriter" }
    deployer-run     = { account = "deployer", role = "roles/run.developer" }
    deployer-scan    = { account = "deployer", role = "roles/ondemandscanning.admin" }
    deployer-logs    = { account = "deployer", role = "roles/logging.logWriter" }
  }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  account_id   = "retentionjax-${each.key}"
  display_name = "RetentionJax ${each.key}"
  description  = each.value

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = local.bucket_roles

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.this[each.value.account].member
}

resource "google_project_iam_member" "this" {
  for_each = local.project_roles

  project = var.project
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "deployer" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.this["deployer"].member
}

resource "google_artifact_registry_repository_iam_member" "trainer" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.this["trainer"].member
}

# A revision runs as the server, so who deploys must be allowed to say so.
resource "google_service_account_iam_member" "deployer_as_server" {
  service_account_id = google_service_account.this["server"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["deployer"].member
}

# The smoke test needs an identity token, which is made in the deployer's own name.
resource "google_service_account_iam_member" "deployer_as_itself" {
  service_account_id = google_service_account.this["deployer"].name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.this["deployer"].member
}

# The smoke test of a canary calls the service.
resource "google_cloud_run_v2_service_iam_member" "deployer" {
  name     = google_cloud_run_v2_service.decisions.name
  location = google_cloud_run_v2_service.decisions.location
  role     = "roles/run.invoker"
  member   = google_service_account.this["deployer"].member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  name     = google_cloud_run_v2_service.decisions.name
  location = google_cloud_run_v2_service.decisions.location
  role     = "roles/run.invoker"
  member   = each.value
}

# --- GitHub's workflows, without a key --------------------------------------------------------------------------

resource "google_iam_workload_identity_pool" "github" {
  count = var.github_repository == "" ? 0 : 1

  workload_identity_pool_id = "retentionjax-github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count = var.github_repository == "" ? 0 : 1

  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_condition                = "assertion.repository == '${var.github_repository}' && assertion.ref == 'refs/heads/main'"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github" {
  count = var.github_repository == "" ? 0 : 1

  service_account_id = google_service_account.this["deployer"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/attribute.repository/${var.github_repository}"
}
