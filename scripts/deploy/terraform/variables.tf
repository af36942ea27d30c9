variable "project" {
  description = "Id of the Google Cloud project; everything is made in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of service, database, buckets and registry."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]$", var.region))
    error_message = "A region is written like us-central1."
  }
}

variable "image" {
  description = "The serving image by digest, as REGION-docker.pkg.dev/PROJECT/retentionjax/serving@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+-docker\\.pkg\\.dev/.+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image of Artifact Registry by digest is wanted: a tag can move."
  }
}

variable "pointer" {
  description = "Object in the bundles' bucket that points to the current bundle (`retentionjax bundle promote`)."
  type        = string
  default     = "current"

  validation {
    condition     = can(regex("^[a-zA-Z0-9_./-]+$", var.pointer)) && !startswith(var.pointer, "/")
    error_message = "An object's name is wanted, without gs:// and bucket."
  }
}

variable "invokers" {
  description = "Who may call the service, as IAM members; nobody by default, and never everybody."
  type        = set(string)
  default     = []

  validation {
    condition = alltrue([
      for member in var.invokers : can(regex("^(user|group|serviceAccount):[^@]+@[^@]+$", member))
    ])
    error_message = "Members are user:…, group:… or serviceAccount:…; allUsers and allAuthenticatedUsers are refused."
  }
}

variable "instances" {
  description = "Fewest and most instances of the service; the fewest may be 0, and a start takes some seconds then."
  type        = object({ min = number, max = number })
  default     = { min = 0, max = 10 }

  validation {
    condition     = var.instances.min >= 0 && var.instances.max >= max(1, var.instances.min) && var.instances.max <= 100
    error_message = "0 <= min <= max <= 100 is wanted, and max at least 1."
  }
}

variable "cpu" {
  description = "CPUs of an instance."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 4, 8], var.cpu)
    error_message = "Allowed: 1, 2, 4, 8."
  }
}

variable "memory_gib" {
  description = "Memory of an instance in GiB, /tmp included, which lies in it."
  type        = number
  default     = 4

  validation {
    condition     = var.memory_gib >= 2 && var.memory_gib <= 32
    error_message = "Allowed: 2 to 32."
  }
}

variable "concurrency" {
  description = "Requests that one instance takes at once; they are decided in micro-batches."
  type        = number
  default     = 80

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "Allowed: 1 to 1000."
  }
}

variable "database_tier" {
  description = "Machine of the ledger's PostgreSQL."
  type        = string
  default     = "db-custom-1-3840"

  validation {
    condition     = can(regex("^db-(f1-micro|g1-small|custom-[0-9]+-[0-9]+)$", var.database_tier))
    error_message = "A tier of Cloud SQL Enterprise for PostgreSQL is wanted, such as db-custom-1-3840."
  }
}

variable "database" {
  description = "Whether to make the ledger's PostgreSQL here; without it the secret ledger-url must be given a version by hand."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.database || var.instances.min == 0
    error_message = "Without a database no instance may be kept running before the secret has a version: instances.min = 0."
  }
}

variable "github_repository" {
  description = "OWNER/NAME whose main branch may deploy by workload identity; empty: none."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "OWNER/NAME is wanted."
  }
}

variable "billing_account" {
  description = "Billing account for the budget alert; empty: no budget alert."
  type        = string
  default     = ""

  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account is written like 012345-6789AB-CDEF01."
  }
}

variable "monthly_budget" {
  description = "$ a month for this project, at half, nine tenths and all of which an alert is sent."
  type        = number
  default     = 200

  validation {
    condition     = var.monthly_budget > 0
    error_message = "More than 0 is wanted."
  }
}

variable "alert_email" {
  description = "Where alerts go; empty: to the console only."
  type        = string
  default     = ""

  validation {
    condition     = var.alert_email == "" || can(regex("^[^@ ]+@[^@ ]+$", var.alert_email))
    error_message = "An e-mail address is wanted."
  }
}

variable "alert_thresholds" {
  description = "Share of 5xx, p99 in ms, share of messages blocked, share of a campaign's budget used, drift in s.d."
  type = object({
    errors = number
    p99_ms = number
    blocks = number
    budget = number
    drift  = number
  })
  default = {
    errors = 0.01
    p99_ms = 500
    blocks = 0.05
    budget = 0.9
    drift  = 0.5
  }

  validation {
    condition     = alltrue([for value in values(var.alert_thresholds) : value > 0]) && var.alert_thresholds.errors < 1
    error_message = "All thresholds are above 0, and the share of errors is below 1."
  }
}

variable "deletion_protection" {
  description = "Whether service and database are kept from being destroyed; switch it off, apply, then destroy."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = contains([true, false], var.deletion_protection)
    error_message = "true or false."
  }
}
