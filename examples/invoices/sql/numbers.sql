select number from invoices.invoice order by number
