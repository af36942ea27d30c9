-- Where the decision's request said that the customer is, for quiet hours; NULL where it left that to the ledger.
ALTER TABLE contacts ADD COLUMN time_zone TEXT;
ALTER TABLE contacts ADD COLUMN region TEXT;

-- When the message was first given to whoever asks for what is due; NULL where nobody was ever given it.
ALTER TABLE contacts ADD COLUMN listed_at REAL;

-- What is still to be sent, by when it is due.
CREATE INDEX unsent_since ON contacts (send_at) WHERE state = 'reserved' AND sent_at IS NULL;
