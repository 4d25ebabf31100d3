//! The `#[job]` attribute of Steadfast. Its manual is at `steadfast::job`, where applications use it from.

mod args;
mod backoff;
mod duration;
mod errors;
mod expand;
mod fallback;
mod key;
mod model;
mod options;
mod signature;
#[cfg(test)]
mod snapshots;
mod support;

use errors::Errors;
use model::Model;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Item, Path};

/// Makes an async function a type of background job; the manual is at `steadfast::job`.
#[proc_macro_attribute]
pub fn job(attr: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    job_impl(attr.into(), &item.into(), support::find).into()
}

fn job_impl(
    attr: TokenStream,
    item: &TokenStream,
    find_support: impl FnOnce() -> Result<Path, String>,
) -> TokenStream {
    let func = match syn::parse2(item.clone()) {
        Ok(Item::Fn(func)) => func,
        Ok(other) => return not_a_function(&other, item),
        // rustc reports what does not parse, if it is no macro's own syntax.
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let model = Model::new(attr, func, find_support, &mut errors);
    let code = if model.signature_ok { expand::expand(&model) } else { fallback::expand(&model) };
    let errors = errors.into_error().map(|error| error.to_compile_error());
    quote!(#code #errors)
}

fn not_a_function(other: &Item, item: &TokenStream) -> TokenStream {
    let text =
        errors::help("`#[job]` goes on a function", "for a hand-written type implement the trait `Job`");
    let first = match other {
        Item::Struct(item) => item.struct_token.to_token_stream(),
        Item::Enum(item) => item.enum_token.to_token_stream(),
        Item::Impl(item) => item.impl_token.to_token_stream(),
        Item::Trait(item) => item.trait_token.to_token_stream(),
        Item::Mod(item) => item.mod_token.to_token_stream(),
        _ => item.clone(),
    };
    let error = syn::Error::new_spanned(first, text).to_compile_error();
    quote!(#item #error)
}
