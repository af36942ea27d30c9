-- One schema for SQLite and PostgreSQL. Written in SQLite's words; `opening` says BIGINT, DOUBLE PRECISION and BYTEA for
-- INTEGER, REAL and BLOB, and leaves STRICT and WITHOUT ROWID out, where the server is PostgreSQL. Money is whole
-- micro-dollars, time UTC epoch seconds. No foreign key on customers: a customer is whoever a caller names, and erasing
-- her renames her.

-- Its customers' arms are drawn by the salt and the design of that number. `paused_at`: since when it contacts nobody.
CREATE TABLE campaigns (
    campaign_id TEXT NOT NULL PRIMARY KEY,
    budget_micros INTEGER NOT NULL CHECK (budget_micros >= 0),
    spent_micros INTEGER NOT NULL DEFAULT 0 CHECK (spent_micros >= 0),
    reserved_micros INTEGER NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
    starts_at REAL NOT NULL,
    horizon_days INTEGER NOT NULL CHECK (horizon_days > 0),
    customers_expected INTEGER NOT NULL CHECK (customers_expected > 0),
    salt TEXT NOT NULL DEFAULT '',
    design INTEGER NOT NULL DEFAULT 0,
    paused_at REAL,
    CONSTRAINT budget_holds CHECK (spent_micros + reserved_micros <= budget_micros)
) STRICT;

-- What a campaign draws its customers' arms by, each time it was set; an assignment keeps the number of the one it was
-- drawn under. `pilot` is JSON, NULL without one.
CREATE TABLE designs (
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    number INTEGER NOT NULL CHECK (number >= 0),
    set_at REAL NOT NULL,
    holdout REAL NOT NULL CHECK (holdout >= 0 AND holdout <= 1),
    pilot TEXT,
    PRIMARY KEY (campaign_id, number)
) STRICT, WITHOUT ROWID;

-- Until when it is known that a customer stayed, and where she is (ISO 3166), for quiet hours; NULL where nobody said.
CREATE TABLE customers (
    customer_id TEXT NOT NULL PRIMARY KEY,
    time_zone TEXT,
    churned_at REAL,
    observed_until REAL,
    region TEXT
) STRICT;

CREATE TABLE consents (
    customer_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('granted', 'denied', 'opted_out', 'unknown')),
    changed_at REAL NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (customer_id, channel)
) STRICT, WITHOUT ROWID;

-- A customer is drawn once a campaign. `acted_at`: when a pilot's arm was carried out; NULL before, and in other arms.
CREATE TABLE assignments (
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    customer_id TEXT NOT NULL,
    arm TEXT NOT NULL CHECK (arm IN ('policy', 'holdout', 'pilot')),
    pilot_arm TEXT,
    propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    assigned_at REAL NOT NULL,
    design INTEGER NOT NULL,
    acted_at REAL,
    PRIMARY KEY (customer_id, campaign_id),
    FOREIGN KEY (campaign_id, design) REFERENCES designs (campaign_id, number),
    CHECK ((arm = 'pilot') = (pilot_arm IS NOT NULL)),
    CHECK (acted_at IS NULL OR arm = 'pilot')
) STRICT, WITHOUT ROWID;

-- The first churn score of a customer in a campaign.
CREATE TABLE baselines (
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    churn_probability REAL NOT NULL,
    PRIMARY KEY (customer_id, campaign_id)
) STRICT, WITHOUT ROWID;

-- Columns that can be NULL from observation to basis are facts of a person; erasing her empties them. Bit a of byte
-- a / 8 of the mask is of action a.
CREATE TABLE decisions (
    decision_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    decided_at REAL NOT NULL,
    day INTEGER NOT NULL,
    channel TEXT NOT NULL,
    action INTEGER NOT NULL CHECK (action >= 0),
    offer TEXT,
    delay INTEGER NOT NULL,
    send_at REAL,
    mask BLOB,
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
-- What a campaign's own decisions are, by time: whether it has any, and which are past the retention period.
CREATE INDEX decisions_of_campaign ON decisions (campaign_id, decided_at, decision_id);

-- A contact and its money in one row: a campaign's spent and reserved are the sums over its contacts and purged_spend.
-- due_at is the start of the campaign day of send_at: executed from then on, planned before. `listed_at`: when the
-- message was first given to whoever asks for what is due; `sent_at`: when that was said to be sent; NULL where never.
-- `pilot`: whether it carried out a pilot's arm, whose money that pilot's share of the budget bounds. Time zone and
-- region are those of the decision's request, NULL where it left them to the ledger.
-- Which wording it was sent, with what probability that was drawn, and from which (the start of the SHA-256 of their
-- ids): only customers who had the same choice tell one wording from another.
CREATE TABLE contacts (
    decision_id TEXT NOT NULL PRIMARY KEY REFERENCES decisions,
    customer_id TEXT NOT NULL,
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    channel TEXT NOT NULL,
    offer TEXT NOT NULL DEFAULT '',
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
    listed_at REAL,
    sent_at REAL,
    offer_days INTEGER NOT NULL DEFAULT 30,
    effect_days INTEGER NOT NULL DEFAULT 30,
    amount_micros INTEGER NOT NULL DEFAULT 0,
    pilot INTEGER NOT NULL DEFAULT 0,
    variant_id TEXT NOT NULL DEFAULT '',
    variant_propensity REAL NOT NULL DEFAULT 1,
    variant_choices TEXT NOT NULL DEFAULT '',
    time_zone TEXT,
    region TEXT,
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
CREATE INDEX reserved_since ON contacts (send_at) WHERE state = 'reserved';
CREATE INDEX unsent_since ON contacts (send_at) WHERE state = 'reserved' AND sent_at IS NULL;
CREATE INDEX contacts_of_campaign ON contacts (campaign_id);
CREATE INDEX contacts_of_variant ON contacts (variant_id) WHERE variant_id <> '';
CREATE INDEX pilot_money ON contacts (campaign_id, reserved_micros, spent_micros) WHERE pilot = 1;

CREATE TABLE outcomes (
    decision_id TEXT NOT NULL REFERENCES decisions,
    kind TEXT NOT NULL CHECK (kind IN ('accepted', 'declined', 'churned', 'opted_out')),
    happened_at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('applied', 'ignored')),
    PRIMARY KEY (decision_id, kind)
) STRICT;

-- What customers paid, as reported; refunds below 0.
CREATE TABLE revenues (
    customer_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    happened_at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    amount_micros INTEGER NOT NULL,
    PRIMARY KEY (customer_id, reference)
) STRICT, WITHOUT ROWID;

-- Money of contacts that are past the retention period and gone.
CREATE TABLE purged_spend (
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    day INTEGER NOT NULL,
    contacts INTEGER NOT NULL,
    spent_micros INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, day)
) STRICT;

-- Wordings of messages, with stand-ins, by what competes with what; the shield's template is one of each kind without a
-- row. A text never changes: an edited one is another, sent in the place of the one that it `replaces` once approved.
-- `angle`: the reason to leave that it speaks to; empty: to none.
CREATE TABLE variants (
    variant_id TEXT NOT NULL PRIMARY KEY,
    offer TEXT NOT NULL,
    channel TEXT NOT NULL,
    tone TEXT NOT NULL,
    angle TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL,
    author TEXT NOT NULL CHECK (author IN ('model', 'person')),
    state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'refused', 'retired')),
    rules_version TEXT NOT NULL,
    proposed_at REAL NOT NULL,
    proposed_by TEXT NOT NULL,
    decided_at REAL,
    decided_by TEXT,
    replaces TEXT NOT NULL DEFAULT '',
    CHECK ((state = 'proposed') = (decided_at IS NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL))
) STRICT;

-- What customers did with each wording, of contacts that are purged. `week` counts from the campaign's first day.
CREATE TABLE purged_answers (
    campaign_id TEXT NOT NULL REFERENCES campaigns,
    week INTEGER NOT NULL,
    variant_choices TEXT NOT NULL,
    variant_id TEXT NOT NULL,
    sent INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    opted_out INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, week, variant_choices, variant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('decide', 'report', 'admin')),
    secret_sha256 BLOB NOT NULL,
    created_at REAL NOT NULL,
    last_used_at REAL,
    revoked_at REAL
) STRICT;

-- Console sessions that were signed out of before they ended by themselves.
CREATE TABLE ended_sessions (
    session TEXT NOT NULL PRIMARY KEY,
    ends_at REAL NOT NULL
) STRICT;

CREATE TABLE switches (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT;

-- Who set what: campaigns, the kill switch, bundles, keys; and what it `was`, empty where there was nothing.
CREATE TABLE changes (
    changed_at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    value TEXT NOT NULL,
    was TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX changes_by_time ON changes (changed_at);
