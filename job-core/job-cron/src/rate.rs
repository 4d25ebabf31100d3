//! Rates.

/// So many in such a time: `"100/s"`, `"30/min"`, `"5000/h"`, `"1/10s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// The time, 1 ms to 31 days.
    pub per_ms: u64,
    /// As many as it allows in a second, at least 1.
    pub burst: u32,
}

impl Rate {
    /// The longest time that a rate may be given for: 31 days.
    pub const PER_MAX_MS: u64 = 31 * 86_400_000;

    /// Reads a number, a slash and a time.
    ///
    /// # Errors
    /// What is wrong with the text, as the end of a sentence that begins with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (count, per) = text.split_once('/').ok_or("has no slash")?;
        let count: u32 = count.trim().parse().map_err(|_| "does not begin with a whole number")?;
        let per = per.trim();
        let digits = per.find(|c: char| !c.is_ascii_digit()).unwrap_or(per.len());
        let (times, unit) = per.split_at(digits);
        let times: u64 =
            if times.is_empty() { 1 } else { times.parse().map_err(|_| "has too long a time")? };
        let unit = match unit {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err("has no unit of time that is one of ms, s, min, h, d"),
        };
        if count == 0 {
            return Err("lets nothing through; pause the queue or the kind instead");
        }
        let per_ms = times.saturating_mul(unit);
        if per_ms == 0 || per_ms > Self::PER_MAX_MS {
            return Err("has a time that is not between 1 ms and 31 days");
        }
        let in_a_second = u64::from(count) * 1_000 / per_ms;
        Ok(Self { count, per_ms, burst: u32::try_from(in_a_second).unwrap_or(u32::MAX).max(1) })
    }
}
