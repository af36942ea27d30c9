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

ALTER TABLE campaigns ADD COLUMN salt TEXT NOT NULL DEFAULT '';
ALTER TABLE campaigns ADD COLUMN design INTEGER NOT NULL DEFAULT 0;
UPDATE campaigns SET salt = campaign_id;
INSERT INTO designs (campaign_id, number, set_at, holdout) SELECT campaign_id, 0, starts_at, 0 FROM campaigns;

-- Whom an older program decided about, it held out nobody.
INSERT INTO assignments (campaign_id, customer_id, arm, propensity, assigned_at, design)
    SELECT campaign_id, customer_id, 'policy', 1, MIN(decided_at), 0 FROM decisions
    WHERE executed = 1 GROUP BY campaign_id, customer_id;

-- Contacts that carried out a pilot's arm, whose money a pilot's share of the budget bounds.
ALTER TABLE contacts ADD COLUMN pilot INTEGER NOT NULL DEFAULT 0;
CREATE INDEX pilot_money ON contacts (campaign_id, reserved_micros, spent_micros) WHERE pilot = 1;

-- Until when it is known that a customer stayed; NULL where nobody said.
ALTER TABLE customers ADD COLUMN observed_until REAL;

-- What customers paid, as reported; refunds below 0.
CREATE TABLE revenues (
    customer_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    happened_at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    amount_micros INTEGER NOT NULL,
    PRIMARY KEY (customer_id, reference)
) STRICT, WITHOUT ROWID;
