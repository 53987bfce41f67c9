-- A contract's minimum looks at what its earlier invoices have charged.

CREATE INDEX invoice_contract ON invoice (contract);
