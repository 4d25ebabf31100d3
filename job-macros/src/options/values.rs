//! Values that several options share: strings, names, numbers, durations.

use crate::args::{Arg, as_ident, bare, source};
use crate::duration;
use crate::errors::{Errors, help};
use syn::{Expr, Lit, LitStr};

/// A duration in milliseconds, or a constant.
#[derive(Clone)]
pub(crate) enum DurationValue {
    Millis(u64),
    Const(Expr),
}

/// The text of a string literal.
pub(crate) fn string(what: &str, expr: &Expr) -> syn::Result<LitStr> {
    match bare(expr) {
        Expr::Lit(lit) if matches!(lit.lit, Lit::Str(_)) => match &lit.lit {
            Lit::Str(text) => Ok(text.clone()),
            _ => unreachable!("matched above"),
        },
        other => {
            let quoted = as_ident(other).map_or_else(|| "\"…\"".to_owned(), |ident| format!("\"{ident}\""));
            Err(syn::Error::new_spanned(
                other,
                help(format!("{what} is a string"), format!("write it in quotes: {quoted}")),
            ))
        }
    }
}

/// True if a store takes this name.
pub(crate) fn is_wire_name(name: &str, max: usize) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= max && name.bytes().all(allowed)
}

/// A name that stores take, for `what`.
pub(super) fn wire_name(expr: &Expr, what: &str, max: usize) -> syn::Result<LitStr> {
    let literal = string(&format!("a {what}"), expr)?;
    if is_wire_name(&literal.value(), max) {
        return Ok(literal);
    }
    Err(syn::Error::new_spanned(
        &literal,
        format!("{what}s are 1-{max} of `a-z 0-9 _ - .`, not {}", source(&literal)),
    ))
}

/// A list of names that stores take, each once. `one`: what the option calls each of them.
pub(super) fn wire_names(
    arg: &Arg,
    example: &str,
    one: &str,
    what: &str,
    max: usize,
    errors: &mut Errors,
) -> syn::Result<Vec<LitStr>> {
    let (option, expr) = (arg.name(), arg.expr(example)?);
    let Expr::Array(list) = bare(expr) else {
        let fix = format!("write `{option} = [{}]`", source(expr));
        return Err(syn::Error::new_spanned(expr, help(format!("{option} are a list"), fix)));
    };
    let mut names: Vec<LitStr> = Vec::new();
    for item in &list.elems {
        let Some(name) = errors.keep(wire_name(item, what, max)) else { continue };
        if names.iter().any(|known| known.value() == name.value()) {
            errors.at(&name, format!("the {one} {} is listed twice", source(&name)));
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// A whole number for `key`.
pub(crate) fn integer(key: &str, expr: &Expr) -> syn::Result<u32> {
    let error = |text: String| Err(syn::Error::new_spanned(expr, text));
    match bare(expr) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(number) => number.base10_parse::<u32>().map_err(|_| {
                syn::Error::new_spanned(expr, format!("`{key}` is a number up to {}", u32::MAX))
            }),
            Lit::Str(text) if text.value().parse::<u32>().is_ok() => error(help(
                format!("`{key}` is a number"),
                format!("write `{key} = {}` without quotes", text.value()),
            )),
            _ => error(format!("`{key}` is a whole number")),
        },
        Expr::Unary(_) => error(format!("`{key}` cannot be negative")),
        _ => error(format!("`{key}` is a whole number")),
    }
}

/// A whole number or `unlimited`.
pub(super) fn count(key: &str, expr: &Expr) -> syn::Result<u32> {
    match as_ident(expr) {
        Some(word) if word == "unlimited" => Ok(u32::MAX),
        Some(word) => Err(syn::Error::new_spanned(
            word,
            help(format!("`{key}` is a number or `unlimited`"), format!("write `{key} = 5`")),
        )),
        None => integer(key, expr),
    }
}

/// A duration that is not zero; the fix says what to write instead, where that is not plain.
pub(crate) fn positive(key: &str, expr: &Expr, fix: Option<&str>) -> syn::Result<DurationValue> {
    match duration(key, expr)? {
        DurationValue::Millis(0) => {
            let text = format!("{key} must be greater than zero");
            Err(syn::Error::new_spanned(expr, fix.map_or_else(|| text.clone(), |fix| help(&text, fix))))
        }
        value => Ok(value),
    }
}

/// A duration, as a string with units or a constant.
pub(crate) fn duration(key: &str, expr: &Expr) -> syn::Result<DurationValue> {
    match bare(expr) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => match duration::parse(&text.value()) {
                Ok(millis) => Ok(DurationValue::Millis(millis)),
                Err(message) => Err(syn::Error::new_spanned(text, message)),
            },
            Lit::Int(number) => Err(syn::Error::new_spanned(
                number,
                help(
                    "durations are strings with a unit",
                    format!("write `{key} = \"{}s\"`", number.base10_digits()),
                ),
            )),
            other => Err(syn::Error::new_spanned(
                other,
                help("durations are strings with a unit", format!("write `{key} = \"30s\"`")),
            )),
        },
        path @ Expr::Path(_) => Ok(DurationValue::Const(path.clone())),
        other => Err(syn::Error::new_spanned(
            other,
            help("durations are strings with a unit", format!("write `{key} = \"30s\"`, or name a constant")),
        )),
    }
}
