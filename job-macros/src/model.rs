//! One job, checked: everything the expansion says, with the spans of the source.

use crate::errors::{Errors, help};
use crate::key::{self, KeyExpr, Names};
use crate::options::{self, KeyOption, Options, is_wire_name};
use crate::signature::{self, Params, plain};
use proc_macro2::{Ident, Span, TokenStream};
use syn::{Attribute, ItemFn, LitStr, Path, ReturnType, Safety};

/// A job.
pub(crate) struct Model {
    /// The function, without helper attributes on its parameters.
    pub(crate) func: ItemFn,
    pub(crate) params: Params,
    pub(crate) options: Options,
    /// The wire name.
    pub(crate) kind: LitStr,
    /// The name of the struct.
    pub(crate) args: Ident,
    pub(crate) idempotency: Option<(KeyExpr, KeyOption)>,
    pub(crate) unique: Option<(KeyExpr, KeyOption)>,
    pub(crate) line: Option<(KeyExpr, KeyOption)>,
    /// The path of the crate with the support code.
    pub(crate) support: Path,
    /// False if the signature cannot be a job's; then the fallback is expanded.
    pub(crate) signature_ok: bool,
}

impl Model {
    /// The attributes of the function that its struct has too.
    pub(crate) fn docs(&self) -> impl Iterator<Item = &Attribute> {
        self.func.attrs.iter().filter(|attr| attr.path().is_ident("doc"))
    }

    /// Conditions must hold for everything generated.
    pub(crate) fn cfgs(&self) -> Vec<&Attribute> {
        self.func.attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect()
    }

    /// Checks the attribute's arguments and the function. The mistakes are in `errors`; an option that is wrong counts
    /// as not given, so that what is expanded in spite of them is as near as possible to what was meant.
    pub(crate) fn new(
        attr: TokenStream,
        mut func: ItemFn,
        find_support: impl FnOnce() -> Result<Path, String>,
        errors: &mut Errors,
    ) -> Self {
        let mut options = options::parse(attr, errors);
        let before = errors.len();
        check_function(&func, &options, errors);
        let mut params = signature::parse(&mut func.sig, errors);
        let signature_ok = errors.len() == before;

        let kind = kind(&func, &options, errors);
        options.aliases.retain(|alias| {
            let same = alias.value() == kind.value();
            if same {
                errors.at(alias, format!("the alias {:?} is the name itself", alias.value()));
            }
            !same
        });
        let args = options.args.clone().unwrap_or_else(|| struct_name(&func.sig.ident));
        if args == func.sig.ident {
            errors.at(
                &args,
                help(
                    format!("the function and its generated struct would both be called `{args}`"),
                    "use snake case for the function, or name the struct with `args = …`",
                ),
            );
        }
        let arg_names: Vec<Ident> = params.args.iter().map(|arg| arg.name.clone()).collect();
        let own_key = options.unique.as_ref().map(|key| key.name.clone());
        let stored: Vec<String> = arg_names.iter().map(plain).collect();
        options::cron::check(&options.crons, &stored, own_key.as_deref(), errors);
        let names = Names { args: &arg_names, injected: &params.injected, complete: signature_ok };
        let redacted = redacted(&options, &names, errors);
        let mut read = |option: Option<KeyOption>| {
            let option = option?;
            let key = errors.keep(key::parse(&option.name, &option.key, &names))??;
            if let Some(arg) = redacted.iter().find(|arg| key.names(arg)) {
                let fix = "make the key of something else, or of a hash: `|args| hash(&args.…)`";
                let text = format!("`{arg}` is redacted, but keys are stored and shown as they are");
                errors.at(&option.key, help(text, fix));
            }
            Some((key, option))
        };
        let idempotency = read(options.idempotency.take());
        let unique = read(options.unique.take());
        let line = read(options.limits.key.take());
        for arg in &mut params.args {
            arg.redacted = redacted.contains(&arg.name);
        }
        let support = options.krate.clone().map_or_else(find_support, Ok).unwrap_or_else(|text| {
            errors.push(syn::Error::new(Span::call_site(), text));
            syn::parse_quote!(::steadfast)
        });
        Self { func, params, options, kind, args, idempotency, unique, line, support, signature_ok }
    }

    /// The tokens to underline where the return type does not fit: the error type of a `Result` if it is spelled out.
    pub(crate) fn return_span(&self) -> Span {
        use syn::spanned::Spanned;
        match &self.func.sig.output {
            ReturnType::Default => self.func.sig.ident.span(),
            ReturnType::Type(_, ty) => {
                let mut span = ty.span();
                if let syn::Type::Path(path) = ty.as_ref()
                    && let Some(segment) = path.path.segments.last()
                    && let syn::PathArguments::AngleBracketed(list) = &segment.arguments
                    && list.args.len() == 2
                    && let Some(error) = list.args.last()
                {
                    span = error.span();
                }
                span
            }
        }
    }
}

/// The arguments that are redacted.
fn redacted(options: &Options, names: &Names<'_>, errors: &mut Errors) -> Vec<Ident> {
    let known = options.redact.iter().map(|name| names.argument(name, "there is nothing to hide"));
    // A parameter that was rejected may have been meant.
    known.filter(|name| name.is_ok() || names.complete).filter_map(|name| errors.keep(name)).collect()
}

fn kind(func: &ItemFn, options: &Options, errors: &mut Errors) -> LitStr {
    if let Some(name) = &options.name {
        return name.clone();
    }
    let ident = &func.sig.ident;
    let name = plain(ident);
    if !is_wire_name(&name, 128) {
        let snake = snake(&name);
        errors.at(
            ident,
            help(
                format!("`{name}` cannot be stored as the name of a job: names are 1-128 of `a-z 0-9 _ - .`"),
                format!("write `#[job(name = \"{snake}\")]`"),
            ),
        );
        // What is expanded in spite of it must not be refused a second time.
        return LitStr::new("unnamed", ident.span());
    }
    LitStr::new(&name, ident.span())
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(if c.is_ascii() { c.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// `send_invoice` makes `SendInvoice`.
fn struct_name(func: &Ident) -> Ident {
    let mut name = String::new();
    for word in plain(func).split('_') {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            name.extend(first.to_uppercase());
            name.push_str(letters.as_str());
        }
    }
    if !name.starts_with(|c: char| c.is_alphabetic()) {
        name.insert_str(0, "Job");
    }
    Ident::new(&name, func.span())
}

fn check_function(func: &ItemFn, options: &Options, errors: &mut Errors) {
    let sig = &func.sig;
    match (&sig.asyncness, &options.blocking) {
        (None, None) => {
            let fix = "write `async fn …`, or `#[job(blocking)]` to run it on the blocking pool";
            errors.at(&sig.fn_token, help("jobs must be `async fn`", fix));
        }
        (Some(_), Some(blocking)) => {
            let fix = "remove `blocking`, or `async` to run it on the blocking pool";
            errors.at(blocking, help("`blocking` is for a plain `fn`, but this one is `async`", fix));
        }
        _ => {}
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(token, "a job cannot be `unsafe`: the runtime cannot keep the promises it asks for");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a job cannot be `extern`");
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, "a job cannot be `const`");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "a job cannot be variadic");
    }
    if !sig.generics.params.is_empty() {
        let names: Vec<String> =
            sig.generics.params.iter().map(|p| format!("`{}`", generic_name(p))).collect();
        let are = if names.len() == 1 { "is" } else { "are" };
        let text = help(
            format!(
                "jobs cannot be generic: {} {are} not known when a stored job is decoded",
                names.join(", ")
            ),
            "write one job per type",
        );
        errors.at(&sig.generics.params, text);
    }
    for attr in &func.attrs {
        let Some(last) = attr.path().segments.last() else { continue };
        let shown = attr.path().segments.iter().map(|s| s.ident.to_string()).collect::<Vec<_>>().join("::");
        if last.ident == "test" || shown == "tokio::main" {
            let fix = "call the function from there instead: it stays an ordinary function";
            errors.at(attr, help(format!("`#[job]` cannot be combined with `#[{shown}]`"), fix));
        } else if last.ident == "job" {
            errors.at(attr, "`#[job]` is given twice");
        }
    }
}

fn generic_name(param: &syn::GenericParam) -> String {
    match param {
        syn::GenericParam::Type(ty) => ty.ident.to_string(),
        syn::GenericParam::Const(value) => value.ident.to_string(),
        syn::GenericParam::Lifetime(lifetime) => lifetime.lifetime.to_string(),
    }
}
