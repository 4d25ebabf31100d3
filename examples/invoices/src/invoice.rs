//! An invoice, and the CSV that it comes from.

use anyhow::{Context as _, bail, ensure};
use jiff::civil::Date;
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// What the first line of a file says.
const HEADER: [&str; 6] = ["number", "customer", "email", "amount", "due", "note"];

/// A valid invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invoice {
    pub(crate) number: String,
    pub(crate) customer: String,
    pub(crate) email: String,
    pub(crate) cents: i64,
    pub(crate) due: String,
    pub(crate) note: String,
}

/// A row that is no invoice.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Where it stands in the file, 1 for the header.
    pub(crate) line: usize,
    pub(crate) error: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.error)
    }
}

/// A file, sorted into good and bad rows.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) invoices: Vec<Invoice>,
    pub(crate) rejected: Vec<Rejected>,
}

/// Reads a file. One invoice a line: a quote that is never closed, or text that is not UTF-8, spoils its own line only.
pub(crate) fn parse(file: &[u8]) -> anyhow::Result<Parsed> {
    let file = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
    let mut lines = (1..).zip(file.split(|byte| *byte == b'\n'));
    let header = lines.next().map(|(_, line)| fields(line)).transpose()?.unwrap_or_default();
    ensure!(header == HEADER, "the first line must be `{}`", HEADER.join(","));
    let mut parsed = Parsed::default();
    let mut seen = HashMap::new();
    for (line, row) in lines.filter(|(_, row)| !row.trim_ascii().is_empty()) {
        let invoice = Invoice::read(row).and_then(|invoice| {
            if let Some(first) = seen.get(&invoice.number) {
                bail!("{} stands on line {first} already", invoice.number);
            }
            Ok(invoice)
        });
        match invoice {
            Ok(invoice) => {
                seen.insert(invoice.number.clone(), line);
                parsed.invoices.push(invoice);
            }
            Err(error) => parsed.rejected.push(Rejected { line, error: format!("{error:#}") }),
        }
    }
    Ok(parsed)
}

fn fields(row: &[u8]) -> anyhow::Result<Vec<String>> {
    let row = std::str::from_utf8(row).ok().context("this is not UTF-8")?;
    ensure!(row.matches('"').count() % 2 == 0, "a quote is never closed");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes());
    let record = reader.records().next().transpose()?.unwrap_or_default();
    Ok(record.iter().map(|field| field.trim().to_owned()).collect())
}

impl Invoice {
    fn read(row: &[u8]) -> anyhow::Result<Self> {
        let fields = fields(row)?;
        let count = fields.len();
        let Ok([number, customer, email, amount, due, note]) = <[String; 6]>::try_from(fields) else {
            bail!("{count} fields instead of {}", HEADER.len());
        };
        // The number becomes the name of a file.
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-';
        ensure!(
            (1..=32).contains(&number.len()) && number.chars().all(safe),
            "an invoice number is 1-32 letters, digits and `-`, not {number:?}"
        );
        ensure!(!customer.is_empty(), "{number} has no customer");
        let address = email.parse::<Address>().is_ok_and(|a| email.is_ascii() && a.domain().contains('.'));
        ensure!(address, "{email:?} is no e-mail address");
        let cents = cents(&amount)?;
        ensure!(due.parse::<Date>().is_ok(), "{due:?} is no date like 2027-01-31");
        Ok(Self { number, customer, email, cents, due, note })
    }

    /// The letter.
    pub(crate) fn text(&self) -> String {
        let Self { number, customer, email, cents, due, note } = self;
        let (whole, rest) = (cents / 100, cents % 100);
        format!(
            "INVOICE {number}\n\nTo:      {customer} <{email}>\nAmount:  {whole}.{rest:02} EUR\nDue:     {due}\nFor:     {note}\n"
        )
    }
}

/// `12`, `12.5` or `12.50` in hundredths.
fn cents(amount: &str) -> anyhow::Result<i64> {
    let (whole, rest) = amount.split_once('.').unwrap_or((amount, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(positive) = amount.strip_prefix('-') {
        cents(positive)?;
        bail!("the amount must be more than 0, not {amount}");
    }
    ensure!(digits(whole) && digits(rest) && rest.len() <= 2, "{amount:?} is no amount like 12.50");
    let cents: i64 = format!("{whole}{rest:0<2}").parse().context("the amount is too large")?;
    ensure!(cents > 0, "the amount must be more than 0, not {amount}");
    Ok(cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_example_is_good() {
        let parsed = parse(include_bytes!("../data/invoices.csv")).unwrap();
        assert_eq!((parsed.invoices.len(), parsed.rejected), (1000, vec![]));
        assert_eq!(parsed.invoices[0].cents, 1);
        assert_eq!(parsed.invoices[16].customer, "Röck & Roll \"Live\" GmbH");
    }

    #[test]
    fn a_bad_row_is_reported_with_its_line_and_harms_nobody_else() {
        let parsed = parse(include_bytes!("../data/bad.csv")).unwrap();
        let good: Vec<_> = parsed.invoices.iter().map(|i| (i.number.as_str(), i.cents)).collect();
        assert_eq!(good, [("B-01", 1000), ("B-09", 1250)]);
        let bad: Vec<_> = parsed.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            bad,
            [
                "line 3: the amount must be more than 0, not 0.00",
                "line 4: the amount must be more than 0, not -5.00",
                "line 5: \"ten\" is no amount like 12.50",
                "line 6: \"example.com\" is no e-mail address",
                "line 7: B-01 stands on line 2 already",
                "line 8: an invoice number is 1-32 letters, digits and `-`, not \"../../etc/passwd\"",
                "line 9: \"2027-02-30\" is no date like 2027-01-31",
                "line 10: 3 fields instead of 6",
                "line 11: a quote is never closed",
                "line 12: an invoice number is 1-32 letters, digits and `-`, not \"\"",
                "line 14: this is not UTF-8",
            ]
        );
    }

    #[test]
    fn a_file_with_another_header_is_refused_as_a_whole() {
        let error = parse(b"id,name\n1,x\n").unwrap_err().to_string();
        assert_eq!(error, "the first line must be `number,customer,email,amount,due,note`");
        assert!(parse(b"").is_err());
    }

    #[test]
    fn windows_files_are_files() {
        let parsed =
            parse("\u{feff}number,customer,email,amount,due,note\r\nA,B,c@d.ef,1,2027-01-31,\r\n".as_bytes());
        let parsed = parsed.unwrap();
        assert_eq!((parsed.invoices.len(), parsed.invoices[0].cents), (1, 100));
    }
}
