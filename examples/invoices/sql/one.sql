select number, customer, email, cents, due::text, note from invoices.invoice where number = $1
