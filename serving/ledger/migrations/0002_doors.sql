-- What a campaign's own decisions are, by time: whether it has any, and which are past the retention period.
CREATE INDEX decisions_of_campaign ON decisions (campaign_id, decided_at, decision_id);

-- A planned contact is executed when its customer is decided about again, so nothing asks which are due.
DROP INDEX planned_until;

-- When whoever sends messages said that this one was sent; NULL where nobody did.
ALTER TABLE contacts ADD COLUMN sent_at REAL;

-- Console sessions that were signed out of before they ended by themselves.
CREATE TABLE ended_sessions (
    session TEXT NOT NULL PRIMARY KEY,
    ends_at REAL NOT NULL
) STRICT;

-- Who set what: campaigns, the kill switch, bundles, keys.
CREATE TABLE changes (
    changed_at REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    value TEXT NOT NULL
) STRICT;

CREATE INDEX changes_by_time ON changes (changed_at);
