//! What stands in for a job whose signature is wrong, so that code that uses it does not fail as well.

use crate::expand::{alias, inherent, private, struct_docs};
use crate::model::Model;
use crate::signature::Arg;
use proc_macro2::TokenStream;
use quote::quote;
use syn::FnArg;

/// The function, and a struct that has the right shape and does nothing. It never runs: an error is reported with it.
pub(crate) fn expand(job: &Model) -> TokenStream {
    let func = &job.func;
    // A method: no item may stand beside it.
    if func.sig.inputs.iter().any(|input| matches!(input, FnArg::Receiver(_))) {
        return quote!(#func);
    }
    // The types may name the parameters of a generic function.
    if !func.sig.generics.params.is_empty() {
        return quote!(#func);
    }
    let (vis, name, cfgs, docs) = (&func.vis, &job.args, job.cfgs(), struct_docs(job));
    let p = private(job);
    let fields = job.params.args.iter().map(|Arg { name, ty, .. }| quote!(#vis #name: #ty));
    let inherent = inherent(job, &constructor(job));
    let alias = alias(job);
    quote! {
        #func
        #(#cfgs)*
        #docs
        #[derive(Debug, Clone)]
        #[allow(dead_code)]
        #vis struct #name { #(#fields),* }
        #inherent
        #alias
        #[automatically_derived]
        impl #p::serde::Serialize for #name {
            fn serialize<S: #p::serde::Serializer>(&self, _: S) -> ::core::result::Result<S::Ok, S::Error> {
                ::core::unimplemented!()
            }
        }
        #[automatically_derived]
        impl<'de> #p::serde::Deserialize<'de> for #name {
            fn deserialize<D: #p::serde::Deserializer<'de>>(_: D) -> ::core::result::Result<Self, D::Error> {
                ::core::unimplemented!()
            }
        }
        #[automatically_derived]
        impl #p::Job for #name {
            fn spec() -> &'static #p::JobSpec {
                ::core::unimplemented!()
            }
            async fn run(self, _: #p::JobContext) -> ::core::result::Result<(), #p::JobError> {
                ::core::unimplemented!()
            }
        }
    }
}

/// Takes what must be given, also where it is the mistake.
fn constructor(job: &Model) -> TokenStream {
    let vis = &job.func.vis;
    let types = &job.params.required;
    quote! {
        /// The job with its required arguments.
        #[must_use]
        #[allow(clippy::too_many_arguments)]
        #vis fn new(#(_: #types),*) -> Self {
            ::core::unimplemented!()
        }
    }
}
