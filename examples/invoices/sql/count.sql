select count(*) from invoices.invoice
