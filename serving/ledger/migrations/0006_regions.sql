-- Where a customer is, for quiet hours: ISO 3166, a country or one of its regions; NULL where nobody said.
ALTER TABLE customers ADD COLUMN region TEXT;
