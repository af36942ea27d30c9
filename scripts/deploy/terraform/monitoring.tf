locals {
  service = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${google_cloud_run_v2_service.decisions.name}\""

  # PromQL over what the service says at /metrics; each alert names the section of the runbook that says what to do.
  alerts = {
    shield-blocks = {
      query = "sum(rate(retentionjax_shield_blocks_total[15m])) / clamp_min(sum(rate(retentionjax_decisions_total{action!=\"wait\"}[15m])), 0.001) > ${var.alert_thresholds.blocks}"
      text  = "The shield refuses an unusual share of messages. Templates go out instead; look at retentionjax_shield_blocks_total by rule, and roll the bundle back if it is new."
    }
    budget-pace = {
      query = "max by (campaign) (sum without (state) (retentionjax_campaign_dollars{state=~\"spent|reserved\"}) / ignoring(state) retentionjax_campaign_dollars{state=\"budget\"}) > ${var.alert_thresholds.budget}"
      text  = "A campaign has nearly used its budget, reservations counted: contacts with offers will soon stop. Raise the budget, or end the campaign."
    }
    drift = {
      query = "max(abs(retentionjax_score_drift)) > ${var.alert_thresholds.drift}"
      text  = "Churn scores have moved away from those the bundle began with. Run `retentionjax monitor`, and retrain if it agrees."
    }
    rollback = {
      query = "sum(increase(retentionjax_canary_rollbacks_total[10m])) > 0"
      text  = "A canary was taken back by the service itself. The limit it passed is the metric's label."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == "" ? 0 : 1

  display_name = "RetentionJax alerts"
  type         = "email"

  labels = {
    email_address = var.alert_email
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "errors" {
  display_name          = "RetentionJax: 5xx"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = google_monitoring_notification_channel.email[*].id

  documentation {
    mime_type = "text/markdown"
    content   = "More than ${var.alert_thresholds.errors * 100} % of requests fail. See the logs; roll the revision back if it is new (scripts/deploy/ci/rollback.sh)."
  }

  conditions {
    display_name = "share of 5xx"

    condition_threshold {
      filter             = "${local.service} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = "${local.service} AND metric.type = \"run.googleapis.com/request_count\""
      comparison         = "COMPARISON_GT"
      threshold_value    = var.alert_thresholds.errors
      duration           = "300s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }

      denominator_aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "latency" {
  display_name          = "RetentionJax: p99"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = google_monitoring_notification_channel.email[*].id

  documentation {
    mime_type = "text/markdown"
    content   = "The slowest hundredth of requests takes over ${var.alert_thresholds.p99_ms} ms. More instances, more CPU, or less concurrency."
  }

  conditions {
    display_name = "p99 of request latencies"

    condition_threshold {
      filter          = "${local.service} AND metric.type = \"run.googleapis.com/request_latencies\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.alert_thresholds.p99_ms
      duration        = "300s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_PERCENTILE_99"
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "monitor" {
  display_name          = "RetentionJax: daily comparison"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = google_monitoring_notification_channel.email[*].id

  documentation {
    mime_type = "text/markdown"
    content   = "`retentionjax monitor` found an alarm or could not look: its log names it. Retrain or recalibrate as it says."
  }

  conditions {
    display_name = "failed executions"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${google_cloud_run_v2_job.monitor.name}\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }
}

resource "google_monitoring_alert_policy" "service" {
  for_each = local.alerts

  display_name          = "RetentionJax: ${each.key}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = google_monitoring_notification_channel.email[*].id

  documentation {
    mime_type = "text/markdown"
    content   = each.value.text
  }

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "300s"
      evaluation_interval = "60s"
    }
  }

  depends_on = [google_project_service.api]
}

locals {
  charts = {
    "Decisions a second, by action" = "sum by (action) (rate(retentionjax_decisions_total[5m]))"
    "Requests by status"            = "sum by (status) (rate(retentionjax_request_seconds_count[5m]))"
    "p99 of requests, s"            = "histogram_quantile(0.99, sum by (le) (rate(retentionjax_request_seconds_bucket[5m])))"
    "Campaigns' money"              = "max by (campaign, state) (retentionjax_campaign_dollars)"
    "Shield's blocks, by rule"      = "sum by (rule) (rate(retentionjax_shield_blocks_total[15m]))"
    "Degradations, by kind"         = "sum by (kind) (rate(retentionjax_degradations_total[15m]))"
    "Violations prevented, by rule" = "sum by (rule) (rate(retentionjax_violations_prevented_total[15m]))"
    "Drift of scores, s.d."         = "max by (bundle) (retentionjax_score_drift)"
  }
}

resource "google_monitoring_dashboard" "decisions" {
  dashboard_json = jsonencode({
    displayName = "RetentionJax"
    gridLayout = {
      columns = "2"
      widgets = [
        for title, query in local.charts : {
          title = title
          xyChart = {
            dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = query } }]
          }
        }
      ]
    }
  })

  depends_on = [google_project_service.api]
}
