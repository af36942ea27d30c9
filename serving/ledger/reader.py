"""All that can be read in one look at the ledger."""

from serving.ledger import administration, audit, erasure, records, views, wordings


class Reader(views.Look):
    """One look at the ledger, whatever is written meanwhile."""

    decision, recent, due = records.decision, records.recent, records.due
    campaign_ids, customer_ledger = records.campaign_ids, records.customer_ledger
    assignments, daily_spend, daily_answers = records.assignments, records.daily_spend, records.daily_answers
    campaign_record, follow = records.campaign_record, records.follow
    variants, approved_variants = wordings.stored, wordings.approved
    consent, slots, changes = administration.consent, administration.slots, administration.changes
    api_keys, authenticate = administration.api_keys, administration.authenticate
    session_key = administration.session_key
    past_retention, people_past_retention = erasure.past_retention, erasure.people_past_retention
    audit = audit.audit
