-- Which wordings a contact could have been sent, its own among them: the start of the SHA-256 of their ids; empty where
-- an older program chose. Only customers who had the same choice tell one wording from another.
ALTER TABLE contacts ADD COLUMN variant_choices TEXT NOT NULL DEFAULT '';

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
