//! The option `redact`.

use super::values::string;
use crate::args::{as_ident, bare, source};
use crate::errors::{Errors, help};
use crate::key::ident;
use proc_macro2::Ident;
use syn::{Expr, LitStr};

/// The names in the list; whether there are such arguments is seen when those are known.
pub(super) fn parse(expr: &Expr, errors: &mut Errors) -> syn::Result<Vec<Ident>> {
    let Expr::Array(list) = bare(expr) else {
        let text = help("`redact` is a list of arguments", format!("write `redact = [{}]`", source(expr)));
        return Err(syn::Error::new_spanned(expr, text));
    };
    let mut names: Vec<Ident> = Vec::new();
    for item in &list.elems {
        let name = match as_ident(item) {
            Some(name) => Some(name.clone()),
            None => errors.keep(string("an argument", item).and_then(|text| name(&text))),
        };
        let Some(name) = name else { continue };
        if names.contains(&name) {
            errors.at(item, format!("`{name}` is listed twice"));
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

fn name(text: &LitStr) -> syn::Result<Ident> {
    ident(&text.value(), text.span()).ok_or_else(|| {
        let fix = "name whole arguments, as in `redact = [\"card_number\"]`";
        syn::Error::new_spanned(text, help(format!("{} is no argument", source(text)), fix))
    })
}
