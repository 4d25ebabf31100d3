//! The option `backoff`.

use crate::args::{self, Arg, Value, bare};
use crate::errors::{Errors, did_you_mean, help};
use crate::options::{DurationValue, duration, integer, positive, string};
use proc_macro2::Ident;
use syn::{Expr, LitStr};

/// The delay before the next attempt.
pub(crate) enum BackoffValue {
    Exponential { base: DurationValue, factor: u32, max: DurationValue, full_jitter: bool },
    Linear { step: DurationValue, max: DurationValue, full_jitter: bool },
    Fixed(DurationValue),
    List(Vec<DurationValue>),
    Custom(Expr),
}

const FORMS: &str = r#"write "exponential", "linear", "fixed", a list as ["10s", "1m"], `backoff(base = "2s", …)` or a function"#;
const BASE_MILLIS: u64 = 1000;
const MAX_MILLIS: u64 = 600_000;

/// Reads the option; `None` if what is wrong with it is in `errors`.
pub(crate) fn parse(arg: &Arg, errors: &mut Errors) -> syn::Result<Option<BackoffValue>> {
    match &arg.value {
        Value::Flag => Err(syn::Error::new_spanned(&arg.key, help("`backoff` needs a value", FORMS))),
        Value::Group(group) => parse_group(args::parse(group.clone(), "base", errors), arg, errors),
        Value::Expr(expr) => match bare(expr) {
            path @ Expr::Path(_) => Ok(Some(BackoffValue::Custom(path.clone()))),
            Expr::Array(list) if list.elems.is_empty() => {
                Err(syn::Error::new_spanned(list, "the list of delays is empty"))
            }
            Expr::Array(list) => {
                let mut delays = Vec::new();
                for item in &list.elems {
                    delays.extend(errors.keep(duration("backoff", item)));
                }
                Ok((delays.len() == list.elems.len()).then_some(BackoffValue::List(delays)))
            }
            Expr::Lit(_) => {
                let literal = string("backoff", expr)
                    .map_err(|_| syn::Error::new_spanned(expr, help("this is not a backoff", FORMS)))?;
                let kind = Kind::of_text(&literal)?;
                Ok(Some(kind.build(Parts::default())))
            }
            other => Err(syn::Error::new_spanned(other, help("this is not a backoff", FORMS))),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exponential,
    Linear,
    Fixed,
}

#[derive(Default)]
struct Parts {
    base: Option<DurationValue>,
    factor: Option<u32>,
    max: Option<DurationValue>,
    full_jitter: Option<bool>,
}

impl Kind {
    fn find(name: &str) -> Option<Self> {
        match name {
            "exponential" => Some(Self::Exponential),
            "linear" => Some(Self::Linear),
            "fixed" => Some(Self::Fixed),
            _ => None,
        }
    }

    fn of_text(literal: &LitStr) -> syn::Result<Self> {
        let text = literal.value();
        Self::find(&text).ok_or_else(|| {
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                let text = help(
                    "this is not a backoff",
                    format!("for a fixed delay write `backoff = [\"{text}\"]`"),
                );
                return syn::Error::new_spanned(literal, text);
            }
            let guess = did_you_mean(&text, ["exponential", "linear", "fixed"]);
            syn::Error::new_spanned(literal, help(format!("unknown backoff `{text}`{guess}"), FORMS))
        })
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Exponential => &["base", "factor", "max", "jitter"],
            Self::Linear => &["base", "max", "jitter"],
            Self::Fixed => &["base"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Linear => "linear",
            Self::Fixed => "fixed",
        }
    }

    fn build(self, parts: Parts) -> BackoffValue {
        let base = parts.base.unwrap_or(DurationValue::Millis(BASE_MILLIS));
        let max = parts.max.unwrap_or(match base {
            // A base above the default cap raises it: the user has said only one of the two.
            DurationValue::Millis(base) => DurationValue::Millis(base.max(MAX_MILLIS)),
            DurationValue::Const(_) => DurationValue::Millis(MAX_MILLIS),
        });
        let full_jitter = parts.full_jitter.unwrap_or(true);
        match self {
            Self::Exponential => {
                BackoffValue::Exponential { base, factor: parts.factor.unwrap_or(2), max, full_jitter }
            }
            Self::Linear => BackoffValue::Linear { step: base, max, full_jitter },
            Self::Fixed => BackoffValue::Fixed(base),
        }
    }
}

fn parse_group(parts: Vec<Arg>, arg: &Arg, errors: &mut Errors) -> syn::Result<Option<BackoffValue>> {
    let mut parts = parts.into_iter().peekable();
    let mut kind = Kind::Exponential;
    if let Some(first) = parts.next_if(|part| matches!(part.value, Value::Flag)) {
        let name = first.name();
        kind = Kind::find(&name).ok_or_else(|| {
            let guess = did_you_mean(&name, ["exponential", "linear", "fixed"]);
            syn::Error::new_spanned(
                &first.key,
                help(format!("unknown backoff `{name}`{guess}"), "backoffs are exponential, linear, fixed"),
            )
        })?;
    }
    let mut values = Parts::default();
    let mut max_key: Option<Ident> = None;
    for part in parts {
        if part.name() == "max" {
            max_key = Some(part.key.clone());
        }
        if let Err(error) = set(&mut values, kind, &part) {
            errors.push(error);
        }
    }
    if let (Some(DurationValue::Millis(base)), Some(DurationValue::Millis(max))) = (&values.base, &values.max)
        && base > max
    {
        errors.at(&max_key.unwrap_or_else(|| arg.key.clone()), "`base` must not be larger than `max`");
        return Ok(None);
    }
    Ok(Some(kind.build(values)))
}

fn set(values: &mut Parts, kind: Kind, part: &Arg) -> syn::Result<()> {
    let name = part.name();
    let error = |text: String| Err(syn::Error::new_spanned(&part.key, text));
    if !kind.options().contains(&name.as_str()) {
        let known = kind.options().join(", ");
        let kind_name = kind.name();
        if Kind::Exponential.options().contains(&name.as_str()) {
            return error(help(
                format!("`{name}` has no meaning for `backoff({kind_name})`"),
                format!("options are {known}"),
            ));
        }
        let guess = did_you_mean(&name, kind.options().iter().copied());
        return error(help(
            format!("unknown option `{name}` of `backoff`{guess}"),
            format!("options of `backoff({kind_name})` are {known}"),
        ));
    }
    let twice = match name.as_str() {
        "base" => values.base.replace(positive("base", part.expr("base = \"2s\"")?, None)?).is_some(),
        "max" => values.max.replace(positive("max", part.expr("max = \"1h\"")?, None)?).is_some(),
        "factor" => values.factor.replace(factor(part.expr("factor = 2")?)?).is_some(),
        _ => values.full_jitter.replace(jitter(part.expr("jitter = \"full\"")?)?).is_some(),
    };
    if twice { error(format!("`{name}` is set twice")) } else { Ok(()) }
}

fn factor(expr: &Expr) -> syn::Result<u32> {
    match integer("factor", expr)? {
        0 | 1 => Err(syn::Error::new_spanned(
            expr,
            help(
                "`factor` must be at least 2",
                "for a delay that does not grow write `backoff(fixed, base = \"…\")`",
            ),
        )),
        factor => Ok(factor),
    }
}

fn jitter(expr: &Expr) -> syn::Result<bool> {
    match string("jitter", expr)?.value().as_str() {
        "full" => Ok(true),
        "none" => Ok(false),
        _ => Err(syn::Error::new_spanned(expr, "jitter is \"full\" or \"none\"")),
    }
}
