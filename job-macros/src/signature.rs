//! The parameters of the function: what is stored with the job and what is injected.

use crate::errors::{Errors, help};
use proc_macro2::{Ident, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::visit::Visit;
use syn::{
    Attribute, ExprPath, FnArg, GenericArgument, LitStr, Meta, Pat, PatIdent, PatType, PathArguments,
    PathSegment, Signature, Type,
};

/// More than this many stored arguments belong into a struct.
const ARGS_MAX: usize = 16;

/// Methods of the generated struct; a setter cannot have these names.
const METHODS: [&str; 4] = ["new", "enqueue", "enqueue_in", "enqueue_at"];

/// The parameters, in order.
#[derive(Default)]
pub(crate) struct Params {
    pub(crate) order: Vec<Param>,
    pub(crate) args: Vec<Arg>,
    /// The types of all arguments that must be given, also of those that were rejected.
    pub(crate) required: Vec<Type>,
    /// What the patterns of injected parameters bind.
    pub(crate) injected: Vec<Ident>,
}

/// Where the value of one parameter comes from.
pub(crate) enum Param {
    /// The argument with this index.
    Arg(usize),
    /// `State<T>`.
    State(Box<Type>),
    /// `JobContext` or `&JobContext`.
    Context { by_ref: bool },
}

/// One stored argument.
pub(crate) struct Arg {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) serde: Vec<Attribute>,
    pub(crate) default: ArgDefault,
    /// Its value is never shown.
    pub(crate) redacted: bool,
}

impl Arg {
    /// True if `#[serde(with = "…")]` or one of its kin stores the argument, whose type need not know how then.
    pub(crate) fn stored_by_function(&self) -> bool {
        self.serde.iter().any(|attr| {
            let Meta::List(list) = &attr.meta else { return false };
            list.tokens.clone().into_iter().any(|token| match token {
                TokenTree::Ident(name) => name.to_string().ends_with("with"),
                _ => false,
            })
        })
    }

    /// What it is called in the stored arguments: its name or what serde renames it to, and its aliases. Nothing for one
    /// whose fields are stored in its place.
    pub(crate) fn stored_names(&self) -> Vec<String> {
        let (mut renamed, mut aliases, mut flat) = (Vec::new(), Vec::new(), false);
        for attr in &self.serde {
            // What cannot be read here serde reports.
            let _ = attr.parse_nested_meta(|meta| {
                flat |= meta.path.is_ident("flatten");
                if meta.path.is_ident("rename") && meta.input.peek(syn::token::Paren) {
                    return meta.parse_nested_meta(|part| {
                        renamed.push(part.value()?.parse::<LitStr>()?.value());
                        Ok(())
                    });
                }
                if meta.input.peek(syn::token::Paren) {
                    meta.input.parse::<TokenTree>()?;
                } else if meta.input.peek(syn::Token![=]) {
                    let value = meta.value()?.parse::<syn::Expr>()?;
                    let names = match () {
                        () if meta.path.is_ident("rename") => &mut renamed,
                        () if meta.path.is_ident("alias") => &mut aliases,
                        () => return Ok(()),
                    };
                    names.push(crate::options::string("a name", &value)?.value());
                }
                Ok(())
            });
        }
        if flat {
            return Vec::new();
        }
        if renamed.is_empty() {
            renamed.push(plain(&self.name));
        }
        renamed.append(&mut aliases);
        renamed
    }
}

/// What an argument is when it is not given.
pub(crate) enum ArgDefault {
    /// It must be given.
    Required,
    /// `Option<T>`: `None`, or what `#[serde(default = "path")]` says.
    Option { inner: Box<Type>, path: Option<ExprPath>, serde_default: bool },
    /// `#[serde(default)]`, with a path or without.
    Serde(Option<ExprPath>),
}

/// Sorts the parameters and takes the helper attributes off them.
pub(crate) fn parse(sig: &mut Signature, errors: &mut Errors) -> Params {
    let mut params = Params::default();
    let mut contexts = 0;
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(receiver, help("a job cannot take `self`", "take shared things as `State<T>`"));
            }
            FnArg::Typed(param) => {
                let (docs, serde) = take_helpers(param, errors);
                if let Some(injected) = injected(&param.ty, errors) {
                    if let Some(attr) = serde.first().or(docs.first()) {
                        errors.at(
                            attr,
                            "this parameter is injected, not stored, so the attribute has no meaning",
                        );
                    }
                    if matches!(injected, Param::Context { .. }) {
                        contexts += 1;
                        if contexts == 2 {
                            errors.at(&param.ty, "only one `JobContext` is possible");
                        }
                    }
                    Bound(&mut params.injected).visit_pat(&param.pat);
                    params.order.push(injected);
                } else {
                    let default = arg_default(&param.ty, &serde, errors);
                    if matches!(default, ArgDefault::Required) {
                        params.required.push((*param.ty).clone());
                    }
                    if let Some(arg) = argument(param, docs, serde, default, errors) {
                        params.order.push(Param::Arg(params.args.len()));
                        params.args.push(arg);
                    }
                }
            }
        }
    }
    if params.args.len() > ARGS_MAX {
        let text = help(format!("too many arguments ({})", params.args.len()), "group them in one struct");
        errors.at(&params.args[ARGS_MAX].name, text);
    }
    params
}

/// The parameter without attributes that rustc would refuse on it.
fn take_helpers(param: &mut PatType, errors: &mut Errors) -> (Vec<Attribute>, Vec<Attribute>) {
    let (mut docs, mut serde) = (Vec::new(), Vec::new());
    for attr in std::mem::take(&mut param.attrs) {
        if attr.path().is_ident("doc") {
            docs.push(attr);
        } else if attr.path().is_ident("serde") {
            serde.push(attr);
        } else {
            if attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr") {
                errors.at(&attr, help("a job's parameters cannot be conditional", "make it an `Option<_>`"));
            }
            param.attrs.push(attr);
        }
    }
    (docs, serde)
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        _ => None,
    }
}

/// The only type argument of `Name<T>`.
fn only_type_argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let segment = last_segment(ty).filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(list) = &segment.arguments else { return None };
    match (list.args.first(), list.args.len()) {
        (Some(GenericArgument::Type(ty)), 1) => Some(ty),
        _ => None,
    }
}

fn injected(ty: &Type, errors: &mut Errors) -> Option<Param> {
    let (inner, reference) = match ty {
        Type::Reference(reference) => (reference.elem.as_ref(), Some(reference)),
        other => (other, None),
    };
    let segment = last_segment(inner)?;
    if segment.ident == "JobContext" {
        if let Some(mutability) = reference.and_then(|r| r.mutability.as_ref()) {
            errors
                .at(mutability, help("a `JobContext` is not changed", "write `&JobContext` or `JobContext`"));
        }
        return Some(Param::Context { by_ref: reference.is_some() });
    }
    if segment.ident != "State" {
        return None;
    }
    if reference.is_some() {
        errors.at(ty, help("`State<T>` is taken by value", "it is an `Arc` inside, cheap to pass"));
    }
    let state = only_type_argument(inner, "State").cloned().unwrap_or_else(|| {
        errors.at(inner, help("which state?", "write the type, as in `State<Mailer>`"));
        syn::parse_quote!(())
    });
    Some(Param::State(Box::new(state)))
}

struct Bound<'a>(&'a mut Vec<Ident>);

impl<'ast> Visit<'ast> for Bound<'_> {
    fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
        self.0.push(pat.ident.clone());
        syn::visit::visit_pat_ident(self, pat);
    }
}

fn argument(
    param: &PatType,
    docs: Vec<Attribute>,
    serde: Vec<Attribute>,
    default: ArgDefault,
    errors: &mut Errors,
) -> Option<Arg> {
    let mut bad_types = BadTypes { errors, found: false };
    bad_types.visit_type(&param.ty);
    let types_ok = !bad_types.found;
    let name = match param.pat.as_ref() {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        pat => {
            let ty = param.ty.to_token_stream().to_string().replace(" ,", ",");
            let text = help(
                "job arguments need a name",
                format!("write `value: {ty}` and take it apart in the body"),
            );
            errors.at(pat, text);
            None
        }
    };
    let name = name.filter(|_| types_ok)?;
    if !matches!(default, ArgDefault::Required) && METHODS.iter().any(|method| name == method) {
        let text = format!(
            "an optional argument cannot be called `{name}`: the generated struct has a method of that name"
        );
        errors.at(&name, text);
        return None;
    }
    Some(Arg { name, ty: (*param.ty).clone(), docs, serde, default, redacted: false })
}

struct BadTypes<'a> {
    errors: &'a mut Errors,
    found: bool,
}

impl BadTypes<'_> {
    fn refuse(&mut self, tokens: &impl ToTokens, text: String) {
        // `&impl Trait` is one mistake.
        if !self.found {
            self.errors.at(tokens, text);
        }
        self.found = true;
    }
}

impl<'ast> Visit<'ast> for BadTypes<'_> {
    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        let fix = match reference.elem.as_ref() {
            Type::Path(path) if path.path.is_ident("str") => "use `String` instead of `&str`".to_owned(),
            Type::Slice(slice) => format!("use `Vec<{0}>` instead of `&[{0}]`", slice.elem.to_token_stream()),
            other => format!(
                "use `{}` without `&`, or `State<T>` if it is shared by all jobs",
                other.to_token_stream().to_string().replace(' ', "")
            ),
        };
        self.refuse(reference, help("job arguments are stored, so they must own their data", fix));
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
        let fix = "write the type itself: a stored job is decoded without the caller";
        self.refuse(ty, help("job arguments need a named type", fix));
    }
}

/// Whether the argument may be left out, which its type and `#[serde(default)]` decide.
fn arg_default(ty: &Type, serde: &[Attribute], errors: &mut Errors) -> ArgDefault {
    let mut default: Option<Option<ExprPath>> = None;
    for attr in serde {
        let result = attr.parse_nested_meta(|meta| {
            let text = match meta.input.peek(syn::Token![=]) {
                true => Some(meta.value()?.parse::<syn::Expr>()?),
                false => {
                    if meta.input.peek(syn::token::Paren) {
                        meta.input.parse::<proc_macro2::TokenTree>()?;
                    }
                    None
                }
            };
            if meta.path.is_ident("default") {
                default = Some(text.map(|expr| path_in_text(&expr)).transpose()?);
            } else if ["skip", "skip_serializing", "skip_deserializing"].iter().any(|s| meta.path.is_ident(s))
            {
                let text = help(
                    "an argument that is not stored is lost before the job runs",
                    "take it as `State<T>`, or compute it in the job",
                );
                return Err(syn::Error::new_spanned(&meta.path, text));
            }
            Ok(())
        });
        errors.keep(result);
    }
    match only_type_argument(ty, "Option") {
        Some(inner) => ArgDefault::Option {
            inner: Box::new(inner.clone()),
            serde_default: default.is_some(),
            path: default.flatten(),
        },
        None => default.map_or(ArgDefault::Required, ArgDefault::Serde),
    }
}

fn path_in_text(expr: &syn::Expr) -> syn::Result<ExprPath> {
    let text = crate::options::string("a default", expr)?;
    text.parse()
}

/// The field's name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}
