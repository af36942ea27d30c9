-- One schema for SQLite and PostgreSQL. Written in SQLite's words; `migrating.py` says BIGINT, DOUBLE PRECISION and BYTEA
-- for INTEGER, REAL and BLOB, and leaves STRICT and WITHOUT ROWID out, where the server is PostgreSQL. Money is whole micro-dollars, time
-- UTC epoch seconds. No foreign key on customers: a customer is whoever a caller names, and erasing her renames her.

CREATE TABLE campaigns (
    campaign_id TEXT NOT NULL PRIMARY KEY,
    budget_micros INTEGER NOT NULL CHECK (budget_micros >= 0),
    spent_micros INTEGER NOT NULL DEFAULT 0 CHECK (spent_micros >= 0),
    reserved_micros INTEGER NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
    starts_at REAL NOT NULL,
    horizon_days INTEGER NOT NULL CHECK (horizon_days > 0),
    customers_expected INTEGER NOT NULL CHECK (customers_expected > 0),
    offer_days INTEGER NOT NULL CHECK (offer_days > 0),
    CONSTRAINT budget_holds CHECK (spent_micros + reserved_micros <= budget_micros)
) STRICT;

CREATE TABLE customers (
    customer_id TEXT NOT NULL PRIMARY KEY,
    time_zone TEXT,
    churned_at REAL
) STRICT;

CREATE TABLE consents (
    customer_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('granted', 'denied', 'opted_out', 'unknown')),
    changed_at REAL NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (customer_id, channel)
) STRICT, WITHOUT ROWID;

-- The first churn score of a customer in a campaign.
CREATE TABLE baselines (
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    churn_probability REAL NOT NULL,
    PRIMARY KEY (customer_id, campaign_id)
) STRICT, WITHOUT ROWID;

-- Columns that can be NULL from observation to basis are facts of a person; erasing her empties them.
CREATE TABLE decisions (
    decision_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    decided_at REAL NOT NULL,
    day INTEGER NOT NULL,
    channel TEXT NOT NULL,
    action INTEGER NOT NULL CHECK (action >= 0),
    offer INTEGER NOT NULL,
    delay INTEGER NOT NULL,
    send_at REAL,
    mask INTEGER NOT NULL,
    observation BLOB,
    propensities BLOB,
    churn_probability REAL,
    baseline_churn_probability REAL,
    accept_probability REAL,
    monthly_charge REAL,
    bundle_id TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    rules_version TEXT NOT NULL,
    slot TEXT NOT NULL CHECK (slot IN ('active', 'canary', 'shadow')),
    degradations TEXT NOT NULL,
    executed INTEGER NOT NULL CHECK (executed IN (0, 1)),
    message_json BLOB,
    response BLOB,
    basis BLOB,
    idempotency_key TEXT,
    request_digest TEXT,
    CHECK ((action = 0) = (send_at IS NULL)),
    CHECK ((idempotency_key IS NULL) = (request_digest IS NULL))
) STRICT;

CREATE INDEX decisions_of_customer ON decisions (customer_id, campaign_id, decided_at);
CREATE UNIQUE INDEX one_answer_a_key ON decisions (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- A contact and its money in one row: a campaign's spent and reserved are the sums over its contacts and purged_spend.
-- due_at is the start of the campaign day of send_at: executed from then on, planned before.
CREATE TABLE contacts (
    decision_id TEXT NOT NULL PRIMARY KEY REFERENCES decisions,
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    channel TEXT NOT NULL,
    offer INTEGER NOT NULL CHECK (offer >= 0),
    send_at REAL NOT NULL,
    send_day INTEGER NOT NULL,
    due_at REAL NOT NULL,
    planned INTEGER NOT NULL CHECK (planned IN (0, 1)),
    state TEXT NOT NULL,
    contact_cost_micros INTEGER NOT NULL CHECK (contact_cost_micros >= 0),
    offer_cost_micros INTEGER NOT NULL CHECK (offer_cost_micros >= 0),
    reserved_micros INTEGER NOT NULL,
    spent_micros INTEGER NOT NULL,
    accepted_at REAL,
    CONSTRAINT money_fits_state CHECK (
        (state = 'reserved' AND reserved_micros = contact_cost_micros + offer_cost_micros AND spent_micros = 0)
        OR (state = 'accepted' AND reserved_micros = 0 AND spent_micros = contact_cost_micros + offer_cost_micros)
        OR (state IN ('declined', 'expired') AND reserved_micros = 0 AND spent_micros = contact_cost_micros)
        OR (state = 'cancelled' AND reserved_micros = 0 AND spent_micros = 0 AND planned = 0)
    ),
    CONSTRAINT accepted_has_a_time CHECK ((state = 'accepted') = (accepted_at IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX one_contact_a_day ON contacts (customer_id, campaign_id, send_day) WHERE state <> 'cancelled';
CREATE UNIQUE INDEX one_planned_contact ON contacts (customer_id) WHERE planned = 1;
CREATE INDEX planned_until ON contacts (due_at) WHERE planned = 1;
CREATE INDEX reserved_since ON contacts (send_at) WHERE state = 'reserved';
CREATE INDEX contacts_of_campaign ON contacts (campaign_id);

CREATE TABLE outcomes (
    decision_id TEXT NOT NULL REFERENCES decisions,
    kind TEXT NOT NULL CHECK (kind IN ('accepted', 'declined', 'churned', 'opted_out')),
    happened_at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('applied', 'ignored')),
    PRIMARY KEY (decision_id, kind)
) STRICT;

-- Money of contacts that are past the retention period and gone.
CREATE TABLE purged_spend (
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    day INTEGER NOT NULL,
    contacts INTEGER NOT NULL,
    spent_micros INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, day)
) STRICT;

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('decide', 'report', 'admin')),
    secret_sha256 BLOB NOT NULL,
    created_at REAL NOT NULL,
    last_used_at REAL,
    revoked_at REAL
) STRICT;

CREATE TABLE switches (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT;
