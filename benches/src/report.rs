//! Medians and a table of them.

use std::time::Duration;

/// The middle value.
#[must_use]
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What each measured round gave.
#[derive(Debug, Default)]
pub(crate) struct Rounds<const N: usize>(Vec<[f64; N]>);

impl<const N: usize> Rounds<N> {
    /// Adds a round.
    pub(crate) fn push(&mut self, round: [f64; N]) {
        self.0.push(round);
    }

    /// The median of each figure.
    #[must_use]
    pub(crate) fn medians(&self) -> [f64; N] {
        std::array::from_fn(|i| median(self.0.iter().map(|r| r[i]).collect()))
    }
}

/// Jobs a second.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate")]
pub(crate) fn rate(jobs: usize, took: Duration) -> f64 {
    jobs as f64 / took.as_secs_f64()
}

/// Rows of a name, a number and a remark.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    /// Adds jobs per second.
    pub(crate) fn rate(&mut self, name: &str, rate: f64, remark: impl Into<String>) {
        self.rows.push([name.into(), format!("{}/s", thousands(rate)), remark.into()]);
    }

    /// Adds another number.
    pub(crate) fn number(&mut self, name: &str, number: f64, unit: &str, remark: impl Into<String>) {
        self.rows.push([name.into(), format!("{} {unit}", thousands(number)), remark.into()]);
    }

    /// Prints it under a title.
    pub(crate) fn print(&self, title: &str) {
        let width = |column: usize| self.rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        println!("\n{title}");
        for [name, number, remark] in &self.rows {
            println!("  {name:<first$}  {number:>second$}  {remark}");
        }
    }
}

/// 1234567.8 as 1,234,568.
#[must_use]
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_the_middle_is_found() {
        assert_eq!(thousands(1_234_567.8), "1,234,568");
        assert_eq!(thousands(999.0), "999");
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
