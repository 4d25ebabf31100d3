//! The options `idempotency` and `unique`, and what others that have a key share with them.

use super::values::{DurationValue, positive};
use crate::args::{self, Arg, Value, as_ident};
use crate::errors::{Errors, help};
use syn::Expr;

/// An option with a key, which is read when the arguments are known.
pub(crate) struct KeyOption {
    pub(crate) name: String,
    pub(crate) key: Expr,
    pub(crate) ttl: Option<DurationValue>,
    pub(crate) scope: Scope,
}

/// What a key is unique within.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    Kind,
    Queue,
    Global,
}

/// Reads an option that is a key.
pub(super) fn parse(name: &str, arg: &Arg, errors: &mut Errors) -> syn::Result<KeyOption> {
    let group = match &arg.value {
        Value::Expr(key) => {
            return Ok(KeyOption { name: name.to_owned(), key: key.clone(), ttl: None, scope: Scope::Kind });
        }
        Value::Group(group) => group.clone(),
        Value::Flag => {
            return Err(syn::Error::new_spanned(
                &arg.key,
                help(format!("`{name}` needs a key"), format!("write `{name} = \"invoice_id\"`")),
            ));
        }
    };
    let (mut key, mut ttl, mut scope) = (None, None, None);
    for part in args::parse(group, "key", errors) {
        let part_name = part.name();
        let twice = match part_name.as_str() {
            "key" => key.replace(part.expr("key = \"invoice_id\"")?.clone()).is_some(),
            "ttl" if name == "idempotency" => ttl.replace(window(part.expr("ttl = \"24h\"")?)?).is_some(),
            "scope" => scope.replace(parse_scope(part.expr("scope = kind")?)?).is_some(),
            "on_conflict" => {
                let text = format!("`on_conflict` is an option of the job, not of `{name}`");
                errors.at(&part.key, help(text, format!("write it beside: `{name}(…), on_conflict = …`")));
                false
            }
            "within" | "states" => {
                errors.at(&part.key, format!("`{part_name}` is not available in this version"));
                false
            }
            _ => {
                let known: &[&str] =
                    if name == "idempotency" { &["key", "ttl", "scope"] } else { &["key", "scope"] };
                errors.push(part.unknown(name, known));
                false
            }
        };
        if twice {
            errors.at(&part.key, format!("`{part_name}` is set twice"));
        }
    }
    let key = key.ok_or_else(|| {
        syn::Error::new_spanned(
            &arg.key,
            help(format!("`{name}` needs a key"), format!("write `{name}(key = \"invoice_id\", …)`")),
        )
    })?;
    Ok(KeyOption { name: name.to_owned(), key, ttl, scope: scope.unwrap_or_default() })
}

fn window(expr: &Expr) -> syn::Result<DurationValue> {
    positive("ttl", expr, Some("for one live job at a time use `unique`"))
}

pub(super) fn parse_scope(expr: &Expr) -> syn::Result<Scope> {
    match as_ident(expr).map(ToString::to_string).as_deref() {
        Some("kind") => Ok(Scope::Kind),
        Some("queue") => Ok(Scope::Queue),
        Some("global") => Ok(Scope::Global),
        _ => Err(syn::Error::new_spanned(expr, "scope is kind, queue or global, without quotes")),
    }
}
