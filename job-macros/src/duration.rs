//! Durations as people write them: `250ms`, `30s`, `1h30m`, `2d`.

use crate::errors::help;

/// From the largest; each at most once and in this order.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest duration, 100 years, far from the ends of every clock it will be added to.
const MILLIS_MAX: u64 = 36_500 * 86_400_000;

/// The milliseconds, or the error text.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err(help("the duration is empty", r#"write "30s", "30m" or "500ms""#));
    }
    if text.contains(char::is_whitespace) {
        let joined: String = text.split_whitespace().collect();
        return Err(help(format!("durations have no spaces: {text:?}"), format!("write {joined:?}")));
    }
    let (mut rest, mut total, mut next_unit) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(help(
                format!("no number before {rest:?} in {text:?}"),
                r#"write for example "1h30m""#,
            ));
        }
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            let n = number;
            return Err(help(
                format!("missing unit in {text:?}"),
                format!(r#"write "{n}s", "{n}m" or "{n}ms""#),
            ));
        }
        let index = unit_index(text, unit)?;
        if index < next_unit {
            return Err(help(
                format!("the units of {text:?} are out of order"),
                r#"write the larger unit first and each once, as in "1h30m""#,
            ));
        }
        next_unit = index + 1;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(UNITS[index].1));
        total = part
            .and_then(|millis| total.checked_add(millis))
            .filter(|sum| *sum <= MILLIS_MAX)
            .ok_or_else(|| help(format!("{text:?} is too long"), r#"the longest duration is "36500d""#))?;
        rest = after;
    }
    Ok(total)
}

fn unit_index(text: &str, unit: &str) -> Result<usize, String> {
    if let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) {
        return Ok(index);
    }
    if unit.starts_with('.') {
        return Err(help(
            format!("durations have whole numbers: {text:?}"),
            r#"use a smaller unit, as in "1h30m" or "1500ms""#,
        ));
    }
    if unit.starts_with(['-', '+']) {
        return Err(format!("durations have no sign: {text:?}"));
    }
    let close = match unit.to_ascii_lowercase().as_str() {
        "min" | "mins" | "minute" | "minutes" => "m",
        "sec" | "secs" | "second" | "seconds" => "s",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        "milli" | "millis" | "msec" => "ms",
        lower => UNITS.iter().find(|(name, _)| *name == lower).map_or("", |(name, _)| name),
    };
    let guess = if close.is_empty() { String::new() } else { format!("; did you mean `{close}`?") };
    Err(help(format!("unknown unit `{unit}` in {text:?}{guess}"), "units are w d h m s ms"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_unit_and_sums() {
        let cases = [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1w2d3h4m5s6ms", 604_800_000 + 172_800_000 + 10_800_000 + 240_000 + 5006),
            ("0s", 0),
            ("90m", 5_400_000),
            ("36500d", 36_500 * 86_400_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn mistakes_say_the_fix() {
        let cases = [
            ("", "is empty"),
            ("30", r#"missing unit in "30""#),
            ("1h30", r#"write "30s", "30m""#),
            ("s", "no number before \"s\""),
            ("1 h", r#"write "1h""#),
            ("1.5h", "whole numbers"),
            ("5min", "did you mean `m`?"),
            ("5M", "did you mean `m`?"),
            ("5y", "units are w d h m s ms"),
            ("30m1h", "out of order"),
            ("1h1h", "out of order"),
            ("-5s", "no number before"),
            ("36501d", "too long"),
            ("99999999999999999999s", "too long"),
            ("18446744073709551615w", "too long"),
            ("5µs", "unknown unit `µs`"),
        ];
        for (text, part) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
