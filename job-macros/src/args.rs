//! The syntax of the attribute's arguments: `key`, `key = value` and `key(…)`, separated by commas.

use crate::errors::{Errors, did_you_mean, help};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Token};

/// One option as it is written.
pub(crate) struct Arg {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// What stands after the key of an option.
pub(crate) enum Value {
    /// Nothing: `blocking`.
    Flag,
    /// `= value`.
    Expr(Expr),
    /// `(…)`.
    Group(TokenStream),
}

impl Arg {
    /// The key as text.
    pub(crate) fn name(&self) -> String {
        self.key.unraw().to_string()
    }

    /// The error for an option of `of` that is none of these.
    pub(crate) fn unknown(&self, of: &str, known: &[&str]) -> syn::Error {
        let name = self.name();
        let guess = did_you_mean(&name, known.iter().copied());
        let fix = format!("options are {}", known.join(", "));
        syn::Error::new_spanned(&self.key, help(format!("unknown option `{name}` of `{of}`{guess}"), fix))
    }

    /// The value after `=`, or an error that shows how the option is written.
    pub(crate) fn expr(&self, example: &str) -> syn::Result<&Expr> {
        match &self.value {
            Value::Expr(expr) => Ok(bare(expr)),
            _ => Err(syn::Error::new_spanned(
                &self.key,
                help(format!("`{}` needs a value", self.key), format!("write `{example}`")),
            )),
        }
    }
}

/// Splits at commas first, so that one bad option does not hide the others. A value without a key is perhaps that of
/// `first`.
pub(crate) fn parse(tokens: TokenStream, first: &str, errors: &mut Errors) -> Vec<Arg> {
    let mut args = Vec::new();
    let mut part = Vec::new();
    for token in tokens {
        match &token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if part.is_empty() {
                    errors.at(comma, "expected an option before this comma");
                } else {
                    args.extend(errors.keep(parse_one(std::mem::take(&mut part), first)));
                }
            }
            _ => part.push(token),
        }
    }
    if !part.is_empty() {
        args.extend(errors.keep(parse_one(part, first)));
    }
    args
}

fn parse_one(part: Vec<TokenTree>, first_key: &str) -> syn::Result<Arg> {
    // syn reports an early end at the whole attribute; the last token is where the value is missing.
    if let [TokenTree::Ident(key), TokenTree::Punct(eq)] = part.as_slice()
        && eq.as_char() == '='
    {
        return Err(syn::Error::new_spanned(eq, format!("`{key}` needs a value after `=`")));
    }
    if let Some(TokenTree::Literal(first)) = part.first() {
        return Err(syn::Error::new_spanned(
            first,
            help("options are written `key = value`", format!("for example `{first_key} = {first}`")),
        ));
    }
    parse_arg.parse2(part.into_iter().collect())
}

fn parse_arg(input: ParseStream<'_>) -> syn::Result<Arg> {
    let key = input.call(Ident::parse_any)?;
    if input.is_empty() {
        return Ok(Arg { key, value: Value::Flag });
    }
    if input.parse::<Option<Token![=]>>()?.is_some() {
        let value = Value::Expr(input.parse()?);
        return if input.is_empty() { Ok(Arg { key, value }) } else { Err(input.error("expected `,`")) };
    }
    match input.parse::<TokenTree>()? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis && input.is_empty() => {
            Ok(Arg { key, value: Value::Group(group.stream()) })
        }
        other => Err(syn::Error::new_spanned(other, format!("expected `=`, `(` or `,` after `{key}`"))),
    }
}

/// The expression without the invisible groups that `macro_rules` puts around what it passes on.
pub(crate) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => bare(&group.expr),
        _ => expr,
    }
}

/// The identifier, if the expression is just one.
pub(crate) fn as_ident(expr: &Expr) -> Option<&Ident> {
    match bare(expr) {
        Expr::Path(path) if path.attrs.is_empty() && path.qself.is_none() => path.path.get_ident(),
        _ => None,
    }
}

/// The tokens as they stand in the source, for an error text.
pub(crate) fn source(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    text.replace(" :: ", "::").replace("- ", "-")
}
