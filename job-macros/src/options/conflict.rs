//! The options `on_conflict`, `debounce` and `latest`: what an enqueue does whose key is taken.

use super::keys::{self, KeyOption, Scope};
use super::values::{DurationValue, positive};
use super::{Options, keys::parse_scope};
use crate::args::{self, Arg, Value, as_ident};
use crate::errors::{Errors, help};
use proc_macro2::Ident;
use syn::Expr;

/// What an enqueue does that finds a key taken.
pub(crate) enum ConflictValue {
    Existing,
    Error,
    Replace,
    Latest,
    Debounce(Box<Debounce>),
}

/// How long each enqueue puts a run off, and all together at most, if there is such a limit.
pub(crate) struct Debounce {
    pub(crate) wait: DurationValue,
    pub(crate) max_wait: Option<DurationValue>,
}

const DEBOUNCE: &str = r#"debounce(key = "user_id", wait = "5s", max_wait = "1m")"#;

/// Reads `on_conflict`.
pub(super) fn on_conflict(expr: &Expr) -> syn::Result<ConflictValue> {
    match as_ident(expr).map(ToString::to_string).as_deref() {
        Some("existing") => Ok(ConflictValue::Existing),
        Some("error") => Ok(ConflictValue::Error),
        Some("replace") => Ok(ConflictValue::Replace),
        Some("latest") => Err(syn::Error::new_spanned(
            expr,
            help("`latest` is an option of its own", "write `latest = \"user_id\"` instead of `unique`"),
        )),
        Some("debounce") => Err(syn::Error::new_spanned(
            expr,
            help("`debounce` is an option of its own", format!("write `{DEBOUNCE}` instead of `unique`")),
        )),
        _ => Err(syn::Error::new_spanned(expr, "on_conflict is existing, error or replace, without quotes")),
    }
}

/// Reads `latest`, which is a unique key as well.
pub(super) fn latest(arg: &Arg, options: &mut Options, errors: &mut Errors) -> syn::Result<()> {
    let key = keys::parse("latest", arg, errors)?;
    options.unique.get_or_insert(key);
    options.conflict.get_or_insert(ConflictValue::Latest);
    Ok(())
}

/// Reads `debounce`, which is a unique key as well.
pub(super) fn debounce(arg: &Arg, options: &mut Options, errors: &mut Errors) -> syn::Result<()> {
    let missing = |what: &str| {
        let text = help(format!("`debounce` needs {what}"), format!("write `{DEBOUNCE}`"));
        syn::Error::new_spanned(&arg.key, text)
    };
    let Value::Group(group) = &arg.value else { return Err(missing("a key and how long to wait")) };
    let (mut key, mut wait, mut max_wait, mut scope) = (None, None, None, None);
    for part in args::parse(group.clone(), "key", errors) {
        let name = part.name();
        let twice = match name.as_str() {
            "key" => key.replace(part.expr("key = \"user_id\"")?.clone()).is_some(),
            "wait" => wait.replace(positive("wait", part.expr("wait = \"5s\"")?, None)?).is_some(),
            "max_wait" => {
                let expr = part.expr("max_wait = \"1m\"")?;
                let never = as_ident(expr).is_some_and(|word| word == "none");
                max_wait
                    .replace(if never {
                        None
                    } else {
                        Some((expr.clone(), positive("max_wait", expr, None)?))
                    })
                    .is_some()
            }
            "scope" => scope.replace(parse_scope(part.expr("scope = kind")?)?).is_some(),
            _ => {
                errors.push(part.unknown("debounce", &["key", "wait", "max_wait", "scope"]));
                false
            }
        };
        if twice {
            errors.at(&part.key, format!("`{name}` is set twice"));
        }
    }
    let key = key.ok_or_else(|| missing("a key"))?;
    let wait = wait.ok_or_else(|| missing("`wait`"))?;
    let max_wait = max_wait.ok_or_else(|| missing("`max_wait`, which may be `none`"))?;
    if let (DurationValue::Millis(wait), Some((expr, DurationValue::Millis(max)))) = (&wait, &max_wait)
        && wait > max
    {
        let text = help(
            "`max_wait` is shorter than `wait`",
            "it bounds all waits of a run together: make it longer",
        );
        return Err(syn::Error::new_spanned(expr, text));
    }
    let scope: Scope = scope.unwrap_or_default();
    options.unique.get_or_insert(KeyOption { name: "debounce".to_owned(), key, ttl: None, scope });
    let max_wait = max_wait.map(|(_, max)| max);
    options.conflict.get_or_insert(ConflictValue::Debounce(Box::new(Debounce { wait, max_wait })));
    Ok(())
}

/// Options that contradict each other; `seen` are those that were given.
pub(super) fn check(options: &mut Options, seen: &[Ident], errors: &mut Errors) {
    let find = |name: &str| seen.iter().find(|key| *key == name);
    let keyed: Vec<_> = ["unique", "debounce", "latest"].into_iter().filter_map(find).collect();
    if let [first, .., last] = keyed[..] {
        let text = help(
            format!("set either `{first}` or `{last}`, not both"),
            "each is a unique key, and says what happens if it is taken",
        );
        errors.at(last, text);
    }
    let Some(on_conflict) = find("on_conflict") else { return };
    if let Some(own) = find("debounce").or_else(|| find("latest")) {
        let text = format!("`{own}` says itself what happens if its key is taken");
        errors.at(on_conflict, help(text, "take `on_conflict` away"));
    } else if find("unique").is_none() && find("idempotency").is_none() {
        let text =
            help("`on_conflict` is for a key, and there is none", "write `unique = \"user_id\"` beside it");
        errors.at(on_conflict, text);
    } else if matches!(options.conflict, Some(ConflictValue::Replace)) && find("unique").is_none() {
        let text = help(
            "an idempotency key says \"the same request\": there is nothing to replace",
            "use `unique` for the newest request, or `on_conflict = error`",
        );
        errors.at(on_conflict, text);
        options.conflict = None;
    }
}
