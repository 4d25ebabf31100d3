//! Key expressions: what an idempotency or unique key is made of.

use crate::args::{as_ident, bare};
use crate::errors::{did_you_mean, help};
use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::{Expr, ExprField, Lit, LitStr, Member};

/// What a key is made of.
pub(crate) enum KeyExpr {
    /// `"invoice_id"`, `"order.id"`.
    Field(FieldPath),
    /// `"{tenant_id}:{invoice_id}"`.
    Text(Vec<Piece>),
    /// `(tenant_id, invoice_id)`.
    Tuple(Vec<FieldPath>),
    /// `args`.
    All,
    /// A path to a function or a closure.
    Call(Expr),
}

impl KeyExpr {
    /// True if the key is seen to be made of this argument, among others.
    pub(crate) fn names(&self, arg: &Ident) -> bool {
        match self {
            Self::Field(path) => path.arg == *arg,
            Self::Text(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Capture(path) if path.arg == *arg))
            }
            Self::Tuple(paths) => paths.iter().any(|path| path.arg == *arg),
            Self::All => true,
            Self::Call(_) => false,
        }
    }
}

/// A part of a key text.
pub(crate) enum Piece {
    Literal(String),
    Capture(FieldPath),
}

/// An argument, or a field inside one.
pub(crate) struct FieldPath {
    pub(crate) arg: Ident,
    pub(crate) fields: Vec<Member>,
}

/// The names a key may use.
pub(crate) struct Names<'a> {
    /// Payload arguments.
    pub(crate) args: &'a [Ident],
    /// What the patterns of injected parameters bind.
    pub(crate) injected: &'a [Ident],
    /// False if some parameter was rejected, so that a missing name is no second mistake.
    pub(crate) complete: bool,
}

impl Names<'_> {
    fn check(&self, name: &Ident) -> syn::Result<Ident> {
        self.argument(name, "it cannot be part of a key")
    }

    /// The argument of this name; `so` says what follows for one that is injected.
    pub(crate) fn argument(&self, name: &Ident, so: &str) -> syn::Result<Ident> {
        let text = name.unraw().to_string();
        if let Some(arg) = self.args.iter().find(|arg| arg.unraw() == text) {
            // The field's own spelling (it may be raw) at the place where the key names it.
            let mut arg = arg.clone();
            arg.set_span(name.span());
            return Ok(arg);
        }
        if self.injected.iter().any(|known| known.unraw() == text) {
            let text = format!("`{text}` is injected, not an argument, so {so}");
            return Err(syn::Error::new(name.span(), text));
        }
        let known: Vec<String> = self.args.iter().map(|arg| arg.unraw().to_string()).collect();
        let guess = did_you_mean(&text, known.iter().map(String::as_str));
        let list = if known.is_empty() {
            "this job has no arguments".to_owned()
        } else {
            format!("arguments are {}", known.join(", "))
        };
        Err(syn::Error::new(name.span(), help(format!("no argument named `{text}`{guess}"), list)))
    }
}

/// Reads a key expression; `Ok(None)` if it names an argument that was rejected already.
pub(crate) fn parse(option: &str, expr: &Expr, names: &Names<'_>) -> syn::Result<Option<KeyExpr>> {
    match parse_strictly(option, expr, names) {
        Ok(key) => Ok(Some(key)),
        Err(_) if !names.complete => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_strictly(option: &str, expr: &Expr, names: &Names<'_>) -> syn::Result<KeyExpr> {
    match bare(expr) {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Str(text) => parse_text(text, names),
            other => Err(not_a_key(option, other)),
        },
        Expr::Tuple(tuple) => {
            if tuple.elems.is_empty() {
                return Err(syn::Error::new_spanned(
                    tuple,
                    help("the key is empty", "name an argument, or `args` for all"),
                ));
            }
            tuple
                .elems
                .iter()
                .map(|e| field_of_expr(e, names))
                .collect::<syn::Result<_>>()
                .map(KeyExpr::Tuple)
        }
        Expr::Paren(paren) => Ok(KeyExpr::Tuple(vec![field_of_expr(&paren.expr, names)?])),
        Expr::Closure(closure) if closure.inputs.len() == 1 => Ok(KeyExpr::Call(expr.clone())),
        Expr::Closure(closure) => Err(syn::Error::new_spanned(
            &closure.inputs,
            help("the closure of a key takes one parameter, the arguments", "write `|args| …`"),
        )),
        Expr::Path(path) => match as_ident(expr) {
            Some(ident) if ident == "args" => Ok(KeyExpr::All),
            Some(ident) if names.args.contains(ident) || names.injected.contains(ident) => {
                let ident = names.check(ident)?;
                Err(syn::Error::new_spanned(
                    path,
                    help(
                        format!("`{ident}` without quotes is a function, but here it is an argument"),
                        format!("write `\"{ident}\"` or `({ident},)`"),
                    ),
                ))
            }
            _ => Ok(KeyExpr::Call(expr.clone())),
        },
        other => Err(not_a_key(option, other)),
    }
}

fn not_a_key(option: &str, tokens: &impl quote::ToTokens) -> syn::Error {
    let forms = format!(
        "write `{option} = \"argument\"`, `\"{{a}}:{{b}}\"`, `(a, b)`, `args`, or a function of the arguments"
    );
    syn::Error::new_spanned(tokens, help("this is not a key", forms))
}

fn field_of_expr(expr: &Expr, names: &Names<'_>) -> syn::Result<FieldPath> {
    if let Some(ident) = as_ident(expr) {
        return Ok(FieldPath { arg: names.check(ident)?, fields: Vec::new() });
    }
    match bare(expr) {
        Expr::Field(ExprField { base, member, .. }) => {
            let mut path = field_of_expr(base, names)?;
            path.fields.push(member.clone());
            Ok(path)
        }
        other => Err(syn::Error::new_spanned(
            other,
            help("only arguments can be parts of a key", "write `(tenant_id, order.id)`"),
        )),
    }
}

fn parse_text(literal: &LitStr, names: &Names<'_>) -> syn::Result<KeyExpr> {
    let text = literal.value();
    let error = |text: String| Err(syn::Error::new_spanned(literal, text));
    if text.trim().is_empty() {
        return error(help("the key is empty", "name an argument, or `args` without quotes for all"));
    }
    if !text.contains(['{', '}']) {
        return field_of_text(&text, literal, names).map(KeyExpr::Field);
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let Some((capture, after)) = after.split_once('}').filter(|_| brace == "{") else {
            return error(help(format!("unmatched `{brace}` in the key"), "write `{{` or `}}` for a brace"));
        };
        if capture.trim().is_empty() {
            return error(help("empty `{}` in the key", "name an argument, as in `{tenant_id}`"));
        }
        if let Some((name, _)) = capture.split_once(':') {
            return error(help(
                format!("a key has no format options: `{{{capture}}}`"),
                format!("write `{{{name}}}`"),
            ));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Capture(field_of_text(capture, literal, names)?));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Literal(plain));
    }
    if pieces.iter().any(|piece| matches!(piece, Piece::Capture(_))) {
        Ok(KeyExpr::Text(pieces))
    } else {
        error(help("this key is the same for every job", "name an argument, as in `{tenant_id}`"))
    }
}

fn field_of_text(text: &str, literal: &LitStr, names: &Names<'_>) -> syn::Result<FieldPath> {
    let span = literal.span();
    let mut parts = text.split('.');
    let first = parts.next().unwrap_or_default();
    let Some(arg) = ident(first, span) else {
        return Err(syn::Error::new(
            span,
            help(
                format!("`{text}` is not the name of an argument"),
                "name one, as in \"tenant_id\", or several, as in \"{tenant_id}:{invoice_id}\"",
            ),
        ));
    };
    let arg = names.check(&arg)?;
    let mut fields = Vec::new();
    for part in parts {
        let member = match (part.parse::<u32>(), ident(part, span)) {
            (Ok(index), _) => Member::Unnamed(syn::Index { index, span }),
            (_, Some(ident)) => Member::Named(ident),
            _ => return Err(syn::Error::new(span, format!("`{part}` in `{text}` is not a field"))),
        };
        fields.push(member);
    }
    Ok(FieldPath { arg, fields })
}

/// The identifier of this text, raw if it is a keyword.
pub(crate) fn ident(text: &str, span: Span) -> Option<Ident> {
    let parsed = syn::parse_str::<Ident>(text).or_else(|_| syn::parse_str(&format!("r#{text}")));
    parsed.ok().map(|mut ident| {
        ident.set_span(span);
        ident
    })
}
