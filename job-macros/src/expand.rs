//! What `#[job]` writes: the function, its struct, and the implementation of `Job`.

mod implementation;
mod keys;
mod limits;

use crate::model::Model;
use crate::signature::{Arg, ArgDefault};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::Visibility;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned;

/// Everything, from a model without mistakes in its signature.
pub(crate) fn expand(job: &Model) -> TokenStream {
    let func = &job.func;
    let arguments = arguments(job);
    let definition = definition(job);
    let constructor = constructor(job);
    let inherent = inherent(job, &constructor);
    let alias = alias(job);
    let implementation = implementation::implementation(job);
    // A job owns its arguments, whatever a lint would rather have; for an `async fn` the lint knows.
    let owned = job.options.blocking.is_some().then(|| quote!(#[allow(clippy::needless_pass_by_value)]));
    quote! {
        #owned
        #func
        #arguments
        #definition
        #inherent
        #implementation
        #alias
    }
}

/// The path of the support code.
pub(crate) fn private(job: &Model) -> TokenStream {
    let support = &job.support;
    quote!(#support::__private)
}

/// Asks about each argument before the derives do, for their errors do not say what to do about a dependency that is
/// meant as `State`.
fn arguments(job: &Model) -> TokenStream {
    let (cfgs, p) = (job.cfgs(), private(job));
    let plain = job.params.args.iter().filter(|arg| !arg.stored_by_function());
    let checks: Vec<_> = plain
        .map(|Arg { ty, .. }| {
            let p = at(&p, ty.span());
            quote_spanned!(ty.span()=> #p::argument::<#ty>();)
        })
        .collect();
    if checks.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #(#cfgs)*
        const _: () = { #(#checks)* };
    }
}

/// The same tokens, all with one span: rustc folds errors that are the same at the same place.
fn at(tokens: &TokenStream, span: Span) -> TokenStream {
    let located = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    tokens.clone().into_iter().map(located).collect()
}

/// Fields are as visible as the struct; `pub` fields of a private struct would be noise to `unreachable_pub`.
fn definition(job: &Model) -> TokenStream {
    let (vis, name, cfgs) = (&job.func.vis, &job.args, job.cfgs());
    let p = private(job);
    let serde_path = quote!(#p::serde).to_string().replace(' ', "");
    let docs = struct_docs(job);
    let fields = job.params.args.iter().map(|arg| {
        let Arg { name, ty, docs, serde, default, .. } = arg;
        let doc = if docs.is_empty() {
            let text = format!(" The argument `{}`.", crate::signature::plain(name));
            quote!(#[doc = #text])
        } else {
            quote!(#(#docs)*)
        };
        // An older job without this argument must still decode.
        let implied = matches!(default, ArgDefault::Option { serde_default: false, .. })
            .then(|| quote!(#[serde(default)]));
        quote! { #doc #(#serde)* #implied #vis #name: #ty }
    });
    let debug = debug(job);
    let derived = debug.is_empty().then(|| quote!(Debug,));
    quote! {
        #(#cfgs)*
        #docs
        #[derive(#derived Clone, #p::serde::Serialize, #p::serde::Deserialize)]
        #[serde(crate = #serde_path)]
        #[allow(dead_code)]
        #vis struct #name { #(#fields),* }
        #debug
    }
}

/// `Debug` without what is redacted; nothing if it can be derived.
fn debug(job: &Model) -> TokenStream {
    if !job.params.args.iter().any(|arg| arg.redacted) {
        return TokenStream::new();
    }
    let (name, cfgs) = (&job.args, job.cfgs());
    let fields = job.params.args.iter().map(|arg| {
        let (field, text) = (&arg.name, crate::signature::plain(&arg.name));
        if arg.redacted {
            quote!(.field(#text, &::core::format_args!("[redacted]")))
        } else {
            quote!(.field(#text, &self.#field))
        }
    });
    let shown = name.unraw().to_string();
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl ::core::fmt::Debug for #name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#shown)#(#fields)*.finish()
            }
        }
    }
}

/// The function's own docs, or a sentence for crates that warn about missing ones.
pub(crate) fn struct_docs(job: &Model) -> TokenStream {
    let mut docs = job.docs().peekable();
    if docs.peek().is_some() {
        quote!(#(#docs)*)
    } else {
        let text = format!(" The arguments of the job `{}`.", job.func.sig.ident);
        quote!(#[doc = #text])
    }
}

/// The type alias by which `jobs![…]` finds the struct under the function's name.
pub(crate) fn alias(job: &Model) -> TokenStream {
    let (vis, func, name, cfgs) = (&job.func.vis, &job.func.sig.ident, &job.args, job.cfgs());
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        #vis type #func = #name;
    }
}

fn constructor(job: &Model) -> TokenStream {
    let vis = &job.func.vis;
    let mut parameters = Vec::new();
    let mut values = Vec::new();
    for Arg { name, ty, default, .. } in &job.params.args {
        match default {
            ArgDefault::Required => {
                parameters.push(quote!(#name: #ty));
                values.push(quote!(#name));
            }
            ArgDefault::Option { path: Some(path), .. } | ArgDefault::Serde(Some(path)) => {
                values.push(quote!(#name: #path()));
            }
            ArgDefault::Option { .. } | ArgDefault::Serde(None) => {
                values.push(quote!(#name: ::core::default::Default::default()));
            }
        }
    }
    quote! {
        /// The job with its required arguments; optional ones have setters.
        #[must_use]
        #[allow(clippy::too_many_arguments)]
        #vis fn new(#(#parameters),*) -> Self {
            Self { #(#values),* }
        }
    }
}

/// The inherent methods; the fallback has them too, with another constructor.
pub(crate) fn inherent(job: &Model, constructor: &TokenStream) -> TokenStream {
    let (vis, name, cfgs) = (&job.func.vis, &job.args, job.cfgs());
    let p = private(job);
    let setters = job.params.args.iter().map(|arg| setter(arg, vis, &p));
    quote! {
        #(#cfgs)*
        #[allow(dead_code)]
        impl #name {
            #constructor
            #(#setters)*

            /// Enqueues this job with its own options; `Client::enqueue` takes others.
            ///
            /// # Errors
            /// If the job is refused, or the store cannot be reached.
            #vis async fn enqueue(
                self,
                client: &#p::Client,
            ) -> ::core::result::Result<#p::Enqueued, #p::EnqueueError> {
                client.enqueue(self).await
            }

            /// Enqueues this job to run after `delay`.
            ///
            /// # Errors
            /// If the job is refused, or the store cannot be reached.
            #vis async fn enqueue_in(
                self,
                delay: ::core::time::Duration,
                client: &#p::Client,
            ) -> ::core::result::Result<#p::Enqueued, #p::EnqueueError> {
                client.enqueue(self).delay(delay).await
            }

            /// Enqueues this job to run at `at` or later.
            ///
            /// # Errors
            /// If the job is refused, or the store cannot be reached.
            #vis async fn enqueue_at(
                self,
                at: #p::Timestamp,
                client: &#p::Client,
            ) -> ::core::result::Result<#p::Enqueued, #p::EnqueueError> {
                client.enqueue(self).at(at).await
            }
        }
    }
}

fn setter(arg: &Arg, vis: &Visibility, p: &TokenStream) -> TokenStream {
    let Arg { name, ty, default, .. } = arg;
    let text = format!(" Sets the optional argument `{}`.", crate::signature::plain(name));
    let (parameter, value) = match default {
        ArgDefault::Required => return TokenStream::new(),
        ArgDefault::Option { inner, .. } => {
            (quote!(impl #p::OptionalArg<#inner>), quote!(#p::OptionalArg::into_option(#name)))
        }
        ArgDefault::Serde(_) => (quote!(#ty), quote!(#name)),
    };
    quote! {
        #[doc = #text]
        #[must_use]
        #vis fn #name(mut self, #name: #parameter) -> Self {
            self.#name = #value;
            self
        }
    }
}
