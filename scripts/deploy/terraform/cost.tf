# What a month costs, estimated from the variables and list prices of us-central1 (September 2025, $, before taxes and
# free quotas). Not in it: network out, logs, metrics, backups, training, builds.
locals {
  hours = 730

  prices = {
    cpu_second = 0.000018 # Cloud Run, instance-based billing
    gib_second = 0.000002
    sql_cpu    = 0.0413 # Cloud SQL Enterprise, an hour, one zone
    sql_gib    = 0.0070
    sql_disk   = 0.17 # a GiB a month, SSD, one zone
  }

  shared_tiers = { db-f1-micro = 0.0105, db-g1-small = 0.035 } # an hour, one zone
  custom_tier  = [for part in regexall("[0-9]+", startswith(var.database_tier, "db-custom-") ? var.database_tier : "0-0") : tonumber(part)]
  sql_hour     = lookup(local.shared_tiers, var.database_tier, local.custom_tier[0] * local.prices.sql_cpu + local.custom_tier[1] / 1024 * local.prices.sql_gib)

  # Two zones, and the ten GiB that a disk begins with.
  database_month = var.database ? 2 * (local.hours * local.sql_hour + 10 * local.prices.sql_disk) : 0
  instance_month = local.hours * 3600 * (var.cpu * local.prices.cpu_second + var.memory_gib * local.prices.gib_second)
}

output "monthly_cost" {
  description = "Estimated $ a month: with the fewest instances all month, and with the most."
  value = {
    least = ceil(local.database_month + var.instances.min * local.instance_month)
    most  = ceil(local.database_month + var.instances.max * local.instance_month)
  }
}
