-- Offers by name, each with days and an amount of its own; what an older program wrote has its index for a name.
ALTER TABLE campaigns DROP COLUMN offer_days;
ALTER TABLE contacts ADD COLUMN offer_name TEXT NOT NULL DEFAULT '';
UPDATE contacts SET offer_name = CAST(offer AS TEXT);
ALTER TABLE contacts DROP COLUMN offer;
ALTER TABLE contacts RENAME COLUMN offer_name TO offer;
ALTER TABLE contacts ADD COLUMN offer_days INTEGER NOT NULL DEFAULT 30;
ALTER TABLE contacts ADD COLUMN effect_days INTEGER NOT NULL DEFAULT 30;
ALTER TABLE contacts ADD COLUMN amount_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN offer_name TEXT;
UPDATE decisions SET offer_name = CAST(offer AS TEXT) WHERE offer >= 0;
ALTER TABLE decisions DROP COLUMN offer;
ALTER TABLE decisions RENAME COLUMN offer_name TO offer;

-- Bit a of byte a / 8 for action a; an older program's number held 62 actions at most, and its rows are not exported.
ALTER TABLE decisions DROP COLUMN mask;
ALTER TABLE decisions ADD COLUMN mask BLOB;
