terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.20, < 8.0"
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

  default_labels = {
    application = "retentionjax"
  }
}

data "google_project" "this" {}
