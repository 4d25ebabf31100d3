//! The options, each checked by itself.

mod conflict;
pub(crate) mod cron;
mod dead_letter;
mod keys;
mod limits;
mod redact;
mod values;

pub(crate) use conflict::ConflictValue;
pub(crate) use cron::{CronValue, MissedValue};
pub(crate) use dead_letter::DeadLetterValue;
pub(crate) use keys::{KeyOption, Scope};
pub(crate) use limits::{LimitsValue, RuleValue};
pub(crate) use values::{DurationValue, duration, integer, is_wire_name, positive, string};
use values::{count, wire_name, wire_names};

use crate::args::{self, Arg, Value, as_ident, bare};
use crate::backoff::{self, BackoffValue};
use crate::errors::{Errors, did_you_mean, help};
use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Expr, ExprPath, Lit, LitStr, Path};

const NAMES: [&str; 30] = [
    "name",
    "aliases",
    "queue",
    "priority",
    "retries",
    "max_attempts",
    "backoff",
    "timeout",
    "ttl",
    "snoozes",
    "idempotency",
    "unique",
    "on_conflict",
    "debounce",
    "latest",
    "limits",
    "concurrency",
    "rate_limit",
    "fair_by",
    "ordering_key",
    "version",
    "upgrade",
    "redact",
    "cron",
    "dead_letter",
    "keep",
    "result",
    "blocking",
    "args",
    "crate",
];

/// Designed, and refused by name until they do something.
const LATER: [&str; 10] = [
    "limit",
    "deadline",
    "delay",
    "retention",
    "tags",
    "encrypt",
    "span_fields",
    "retry_if",
    "singleton",
    "derive",
];

/// Every option that was given and is right.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) queue: Option<QueueValue>,
    pub(crate) priority: Option<u8>,
    /// `u32::MAX` is unlimited.
    pub(crate) max_attempts: Option<u32>,
    pub(crate) backoff: Option<BackoffValue>,
    pub(crate) timeout: Option<TimeoutValue>,
    pub(crate) ttl: Option<DurationValue>,
    /// `u32::MAX` is unlimited.
    pub(crate) snoozes: Option<u32>,
    pub(crate) idempotency: Option<KeyOption>,
    /// `unique`, or the key of `debounce` or `latest`.
    pub(crate) unique: Option<KeyOption>,
    pub(crate) conflict: Option<ConflictValue>,
    pub(crate) limits: LimitsValue,
    pub(crate) version: Option<u32>,
    pub(crate) upgrade: Option<ExprPath>,
    /// The arguments that are named, as they are named.
    pub(crate) redact: Vec<Ident>,
    pub(crate) crons: Vec<CronValue>,
    pub(crate) dead_letter: Option<DeadLetterValue>,
    /// How long a completed job is kept.
    pub(crate) keep: Option<DurationValue>,
    /// The word `result`, if what the handler returns is kept too.
    pub(crate) result: Option<Ident>,
    pub(crate) blocking: Option<Ident>,
    pub(crate) args: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

/// A queue by name, or a constant.
pub(crate) enum QueueValue {
    Name(LitStr),
    Const(Expr),
}

/// The timeout of an attempt.
pub(crate) enum TimeoutValue {
    Never,
    After(DurationValue),
}

/// Reads the attribute's arguments; an option that is wrong counts as not given.
pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Options {
    let mut options = Options::default();
    let mut seen: Vec<String> = Vec::new();
    let mut given: Vec<Ident> = Vec::new();
    for arg in args::parse(tokens, "name", errors) {
        let name = arg.name();
        if LATER.contains(&name.as_str()) {
            errors.at(&arg.key, format!("`{name}` is not available in this version"));
            continue;
        }
        // For all jobs together, and for those of each key.
        let keyed =
            matches!(name.as_str(), "concurrency" | "rate_limit") && matches!(arg.value, Value::Group(_));
        let slot = if keyed { format!("{name}(…)") } else { name.clone() };
        // A job may come by several schedules.
        if seen.contains(&slot) && name != "cron" {
            errors.at(&arg.key, format!("`{name}` is set twice"));
            continue;
        }
        let both = |a: &str, b: &str| (name == a && seen.iter().any(|s| s == b)).then_some(());
        if both("retries", "max_attempts").or_else(|| both("max_attempts", "retries")).is_some() {
            let text = "set either `retries = 5` or `max_attempts = 6`, not both (they mean the same)";
            errors.at(&arg.key, text);
            continue;
        }
        if let Err(error) = set(&mut options, &name, &arg, errors) {
            errors.push(error);
        }
        seen.push(slot);
        given.push(arg.key);
    }
    conflict::check(&mut options, &given, errors);
    // A version that is wrong is one mistake.
    if let Some(upgrade) = &options.upgrade
        && (options.version == Some(1) || !seen.iter().any(|name| name == "version"))
    {
        let text = help(
            "`upgrade` is for arguments of an older version, and this is version 1",
            "write `version = 2` beside it, or take it away",
        );
        errors.at(upgrade, text);
    }
    options
}

fn set(options: &mut Options, name: &str, arg: &Arg, errors: &mut Errors) -> syn::Result<()> {
    match name {
        "name" => options.name = Some(wire_name(arg.expr(r#"name = "send_invoice""#)?, "job name", 128)?),
        "aliases" => {
            let example = r#"aliases = ["old_name"]"#;
            options.aliases = wire_names(arg, example, "alias", "job name", 128, errors)?;
        }
        "queue" => options.queue = Some(queue(arg.expr(r#"queue = "email""#)?)?),
        "priority" => options.priority = Some(priority(arg.expr("priority = high")?)?),
        "retries" => {
            let retries = count("retries", arg.expr("retries = 5")?)?;
            options.max_attempts = Some(retries.saturating_add(1));
        }
        "max_attempts" => options.max_attempts = Some(max_attempts(arg.expr("max_attempts = 6")?)?),
        "backoff" => options.backoff = backoff::parse(arg, errors)?,
        "timeout" => options.timeout = Some(timeout(arg.expr(r#"timeout = "30s""#)?)?),
        "snoozes" => options.snoozes = Some(count("snoozes", arg.expr("snoozes = 500")?)?),
        "ttl" => options.ttl = Some(ttl(arg.expr(r#"ttl = "10m""#)?)?),
        "idempotency" | "unique" => {
            let key = keys::parse(name, arg, errors)?;
            let slot = if name == "unique" { &mut options.unique } else { &mut options.idempotency };
            slot.get_or_insert(key);
        }
        "on_conflict" => {
            let value = conflict::on_conflict(arg.expr("on_conflict = replace")?)?;
            options.conflict.get_or_insert(value);
        }
        "debounce" => conflict::debounce(arg, options, errors)?,
        "latest" => conflict::latest(arg, options, errors)?,
        "limits" => limits::names(arg, &mut options.limits, errors)?,
        "concurrency" => limits::concurrency(arg, &mut options.limits, errors)?,
        "rate_limit" => limits::rate_limit(arg, &mut options.limits, errors)?,
        "fair_by" => limits::fair_by(arg, &mut options.limits)?,
        "ordering_key" => limits::ordering_key(arg, &mut options.limits)?,
        "version" => options.version = Some(version(arg.expr("version = 2")?)?),
        "upgrade" => options.upgrade = Some(upgrade(arg.expr("upgrade = path::to::function")?)?),
        "redact" => options.redact = redact::parse(arg.expr(r#"redact = ["card_number"]"#)?, errors)?,
        "cron" => options.crons.push(cron::parse(arg, errors)?),
        "dead_letter" => {
            options.dead_letter = Some(dead_letter::parse(arg.expr("dead_letter = discard")?)?);
        }
        "keep" | "result" => {
            if options.keep.is_some() {
                let text = "`result` keeps the job as well: set one of `keep` and `result`";
                return Err(syn::Error::new_spanned(&arg.key, text));
            }
            let period = arg.expr(&format!(r#"{name} = "7d""#))?;
            options.keep = Some(positive(name, period, Some("leave it out to keep nothing"))?);
            options.result = (name == "result").then(|| arg.key.clone());
        }
        "blocking" => match &arg.value {
            Value::Flag => options.blocking = Some(arg.key.clone()),
            _ => return Err(syn::Error::new_spanned(&arg.key, "`blocking` takes no value")),
        },
        "args" => options.args = Some(struct_name(arg.expr("args = SendInvoice")?)?),
        "crate" => options.krate = Some(crate_path(arg.expr("crate = my_crate::steadfast")?)?),
        _ => return Err(unknown(&arg.key, name)),
    }
    Ok(())
}

fn unknown(key: &Ident, name: &str) -> syn::Error {
    let known = NAMES;
    let guess = match name {
        "retry" => "; did you mean `retries`?".to_owned(),
        _ => did_you_mean(name, known),
    };
    let list = format!("options are {}", known.join(", "));
    syn::Error::new_spanned(key, help(format!("unknown option `{name}`{guess}"), list))
}

fn queue(expr: &Expr) -> syn::Result<QueueValue> {
    match bare(expr) {
        path @ Expr::Path(_) => Ok(QueueValue::Const(path.clone())),
        other => wire_name(other, "queue name", 64).map(QueueValue::Name),
    }
}

fn priority(expr: &Expr) -> syn::Result<u8> {
    const TEXT: &str = "priority is 0..=9, 0 first, or high, normal, low";
    if let Some(word) = as_ident(expr) {
        return match word.to_string().as_str() {
            "high" => Ok(2),
            "normal" => Ok(5),
            "low" => Ok(8),
            _ => Err(syn::Error::new_spanned(word, TEXT)),
        };
    }
    let level = match bare(expr) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(level) => level.base10_parse::<u8>().ok().filter(|level| *level <= 9),
            _ => None,
        },
        _ => None,
    };
    level.ok_or_else(|| syn::Error::new_spanned(expr, TEXT))
}

fn max_attempts(expr: &Expr) -> syn::Result<u32> {
    match count("max_attempts", expr)? {
        0 => Err(syn::Error::new_spanned(
            expr,
            help("a job needs at least one attempt", "`max_attempts = 1` runs it once and never again"),
        )),
        n => Ok(n),
    }
}

fn version(expr: &Expr) -> syn::Result<u32> {
    match integer("version", expr)? {
        0 => Err(syn::Error::new_spanned(expr, "versions begin at 1")),
        n => Ok(n),
    }
}

fn upgrade(expr: &Expr) -> syn::Result<ExprPath> {
    match bare(expr) {
        Expr::Path(path) => Ok(path.clone()),
        other => {
            let text = help(
                "`upgrade` is the path of a function",
                "write `fn upgrade(from: u32, args: serde_json::Value) -> Result<serde_json::Value, String>`, and \
                 `upgrade = upgrade`",
            );
            Err(syn::Error::new_spanned(other, text))
        }
    }
}

fn timeout(expr: &Expr) -> syn::Result<TimeoutValue> {
    if as_ident(expr).is_some_and(|word| word == "none") {
        return Ok(TimeoutValue::Never);
    }
    positive("timeout", expr, Some("use `timeout = none` for no limit")).map(TimeoutValue::After)
}

fn ttl(expr: &Expr) -> syn::Result<DurationValue> {
    const FIX: &str = "leave it away for a job that is never too late";
    if as_ident(expr).is_some_and(|word| word == "none") {
        return Err(syn::Error::new_spanned(expr, help("ttl is a duration", FIX)));
    }
    positive("ttl", expr, Some(FIX))
}

fn struct_name(expr: &Expr) -> syn::Result<Ident> {
    as_ident(expr).cloned().ok_or_else(|| {
        let text = help("`args` names the generated struct", "write `args = SendInvoice`");
        syn::Error::new_spanned(expr.to_token_stream(), text)
    })
}

fn crate_path(expr: &Expr) -> syn::Result<Path> {
    match bare(expr) {
        Expr::Path(path) if path.qself.is_none() => Ok(path.path.clone()),
        other => Err(syn::Error::new_spanned(
            other,
            help("`crate` is a path", "write `crate = my_crate::steadfast`"),
        )),
    }
}
