//! The options about limits: `limits`, `concurrency`, `rate_limit`, and those that make lines: `fair_by`, `ordering_key`.

use super::keys::{KeyOption, Scope};
use super::values::{integer, string, wire_names};
use crate::args::{self, Arg, Value, source};
use crate::errors::{Errors, help};
use job_cron::Rate;
use syn::{Expr, LitStr};

/// What is allowed at one time, and in a time.
#[derive(Default)]
pub(crate) struct RuleValue {
    pub(crate) concurrency: Option<u32>,
    pub(crate) rate: Option<Rate>,
}

/// Everything about limits.
#[derive(Default)]
pub(crate) struct LimitsValue {
    pub(crate) names: Vec<LitStr>,
    pub(crate) all: RuleValue,
    pub(crate) line: RuleValue,
    pub(crate) ordered: bool,
    /// The key of the line in which a job waits.
    pub(crate) key: Option<KeyOption>,
}

impl LimitsValue {
    /// All options that make lines name the same key.
    fn set_key(&mut self, name: &str, key: Expr) -> syn::Result<()> {
        match &self.key {
            Some(other) if source(&other.key) != source(&key) => {
                let text =
                    format!("a job waits in one line, but `{}` and `{name}` have different keys", other.name);
                let fix = format!("give both the key {}", source(&other.key));
                Err(syn::Error::new_spanned(key, help(text, fix)))
            }
            _ => {
                self.key = Some(KeyOption { name: name.to_owned(), key, ttl: None, scope: Scope::Kind });
                Ok(())
            }
        }
    }
}

/// Reads `limits = ["stripe"]`.
pub(super) fn names(arg: &Arg, limits: &mut LimitsValue, errors: &mut Errors) -> syn::Result<()> {
    let example = r#"limits = ["stripe"]"#;
    limits.names = wire_names(arg, example, "limit", "limit name", 64, errors)?;
    Ok(())
}

/// Reads `concurrency = 5`, or `concurrency(key = "tenant_id", limit = 2)`.
pub(super) fn concurrency(arg: &Arg, limits: &mut LimitsValue, errors: &mut Errors) -> syn::Result<()> {
    const EXAMPLE: &str = r#"concurrency(key = "tenant_id", limit = 2)"#;
    if let Value::Expr(expr) = &arg.value {
        limits.all.concurrency = Some(jobs("concurrency", expr)?);
        return Ok(());
    }
    let parts = parts(arg, "concurrency", EXAMPLE, &["key", "limit"], errors)?;
    let [key, limit] = [parts.get("key"), parts.get("limit")];
    let limit = limit.ok_or_else(|| parts.missing("`limit`, how many jobs of a key may run at one time"))?;
    let key = key.ok_or_else(|| parts.missing("`key`; for all jobs together write `concurrency = 5`"))?;
    limits.line.concurrency = Some(jobs("limit", limit)?);
    limits.set_key("concurrency", key.clone())
}

/// Reads `rate_limit = "100/s"`, or `rate_limit(key = "tenant_id", limit = "10/s", burst = 20)`.
pub(super) fn rate_limit(arg: &Arg, limits: &mut LimitsValue, errors: &mut Errors) -> syn::Result<()> {
    const EXAMPLE: &str = r#"rate_limit(key = "tenant_id", limit = "10/s", burst = 20)"#;
    if let Value::Expr(expr) = &arg.value {
        limits.all.rate = Some(rate(expr)?);
        return Ok(());
    }
    let parts = parts(arg, "rate_limit", EXAMPLE, &["key", "limit", "burst"], errors)?;
    let limit = parts.get("limit").ok_or_else(|| parts.missing("`limit`, such as \"10/s\""))?;
    let mut value = rate(limit)?;
    if let Some(burst) = parts.get("burst") {
        value.burst = jobs("burst", burst)?;
    }
    match parts.get("key") {
        Some(key) => {
            limits.line.rate = Some(value);
            limits.set_key("rate_limit", key.clone())
        }
        None => {
            limits.all.rate = Some(value);
            Ok(())
        }
    }
}

/// Reads `fair_by = "tenant_id"`.
pub(super) fn fair_by(arg: &Arg, limits: &mut LimitsValue) -> syn::Result<()> {
    limits.set_key("fair_by", arg.expr(r#"fair_by = "tenant_id""#)?.clone())
}

/// Reads `ordering_key = "account_id"`.
pub(super) fn ordering_key(arg: &Arg, limits: &mut LimitsValue) -> syn::Result<()> {
    limits.ordered = true;
    limits.set_key("ordering_key", arg.expr(r#"ordering_key = "account_id""#)?.clone())
}

/// What stands in the parentheses of an option.
struct Parts<'a> {
    arg: &'a Arg,
    example: &'static str,
    values: Vec<(String, Expr)>,
}

impl Parts<'_> {
    fn get(&self, name: &str) -> Option<&Expr> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn missing(&self, what: &str) -> syn::Error {
        let text = format!("`{}` needs {what}", self.arg.name());
        syn::Error::new_spanned(&self.arg.key, help(text, format!("write `{}`", self.example)))
    }
}

fn parts<'a>(
    arg: &'a Arg,
    name: &str,
    example: &'static str,
    known: &[&str],
    errors: &mut Errors,
) -> syn::Result<Parts<'a>> {
    let mut parts = Parts { arg, example, values: Vec::new() };
    let Value::Group(group) = &arg.value else { return Err(parts.missing("a value")) };
    for part in args::parse(group.clone(), known[0], errors) {
        let part_name = part.name();
        if !known.contains(&part_name.as_str()) {
            errors.push(part.unknown(name, known));
        } else if parts.get(&part_name).is_some() {
            errors.at(&part.key, format!("`{part_name}` is set twice"));
        } else if let Some(value) = errors.keep(part.expr(example).cloned()) {
            parts.values.push((part_name, value));
        }
    }
    Ok(parts)
}

fn jobs(name: &str, expr: &Expr) -> syn::Result<u32> {
    match integer(name, expr)? {
        0 => {
            let fix = "pause the queue or the kind instead";
            Err(syn::Error::new_spanned(expr, help(format!("`{name}` 0 lets nothing through"), fix)))
        }
        n => Ok(n),
    }
}

fn rate(expr: &Expr) -> syn::Result<Rate> {
    let text = string("a rate", expr)?;
    let value = text.value();
    Rate::parse(&value).map_err(|why| {
        let fix = "write a number, a slash and a time: \"100/s\", \"30/min\", \"5000/h\", \"1/10s\"";
        syn::Error::new_spanned(&text, help(format!("the rate {value:?} {why}"), fix))
    })
}
