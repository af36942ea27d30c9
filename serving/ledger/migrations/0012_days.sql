-- A campaign's contacts, money and answers by day, read from the index alone.
CREATE INDEX contacts_by_day ON contacts (campaign_id, send_day, state, spent_micros, reserved_micros);
DROP INDEX contacts_of_campaign;

-- Answers of contacts that are past the retention period and gone; 0 where an older program purged them.
ALTER TABLE purged_spend ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE purged_spend ADD COLUMN declined INTEGER NOT NULL DEFAULT 0;
