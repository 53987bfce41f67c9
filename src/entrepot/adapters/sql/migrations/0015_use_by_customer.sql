-- What a customer used is asked for each budget, again and again: it must not cost what all customers used.

CREATE INDEX series_customer ON series (customer);
CREATE INDEX monthly_use_series ON monthly_use (series, period);
