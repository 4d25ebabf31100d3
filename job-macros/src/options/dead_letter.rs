//! The option `dead_letter`.

use crate::args::{as_ident, bare};
use crate::errors::help;
use syn::{Expr, ExprPath};

/// What becomes of a job that is given up.
pub(crate) enum DeadLetterValue {
    Keep,
    Discard,
    Then(ExprPath),
}

pub(super) fn parse(expr: &Expr) -> syn::Result<DeadLetterValue> {
    if let Some(word) = as_ident(expr) {
        if word == "keep" {
            return Ok(DeadLetterValue::Keep);
        }
        if word == "discard" {
            return Ok(DeadLetterValue::Discard);
        }
    }
    if let Expr::Call(call) = bare(expr)
        && as_ident(&call.func).is_some_and(|word| word == "then")
        && call.args.len() == 1
        && let Some(Expr::Path(path)) = call.args.first().map(bare)
    {
        return Ok(DeadLetterValue::Then(path.clone()));
    }
    let text = help(
        "`dead_letter` is `keep`, `discard` or `then(OtherJob)`",
        "write `dead_letter = then(TellSupport)`, for a job with one argument: `async fn tell_support(dead: DeadJob)`",
    );
    Err(syn::Error::new_spanned(expr, text))
}
