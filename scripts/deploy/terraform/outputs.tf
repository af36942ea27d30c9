output "url" {
  description = "Address of the service; callers need roles/run.invoker."
  value       = google_cloud_run_v2_service.decisions.uri
}

output "pointer" {
  description = "Where `retentionjax bundle promote RUN POINTER` makes a bundle the current one."
  value       = local.bundle
}

output "runs" {
  description = "Folder of runs, for --runs of `retentionjax submit` and of every stage."
  value       = "gs://${google_storage_bucket.this["runs"].name}/runs"
}

output "data" {
  description = "Bucket of data sets, for RETENTIONJAX_DATA."
  value       = "gs://${google_storage_bucket.this["data"].name}"
}

output "images" {
  description = "Artifact Registry's folder of images."
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "service_accounts" {
  description = "E-mail addresses of the accounts, by task."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "workload_identity_provider" {
  description = "For the repository variable GCP_WORKLOAD_IDENTITY_PROVIDER; null without github_repository."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}
