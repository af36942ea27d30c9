terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.20, < 7.0"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.6, < 4.0"
    }
  }

  # terraform init -backend-config="bucket=PROJECT-terraform-state"
  backend "gcs" {
    prefix = "retentionjax"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # Calls with one's own credentials count, and are allowed, in this project: the budget's API asks for it.
  user_project_override = true
  billing_project       = var.project

  default_labels = {
    application = "retentionjax"
  }
}

data "google_project" "this" {}
