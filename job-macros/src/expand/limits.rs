//! The limits of a job.

use crate::options::{LimitsValue, RuleValue};
use job_cron::Rate;
use proc_macro2::TokenStream;
use quote::quote;

/// What is set in the spec.
pub(super) fn limits(limits: &LimitsValue, p: &TokenStream) -> Vec<TokenStream> {
    let mut set = Vec::new();
    if !limits.names.is_empty() {
        let names = &limits.names;
        set.push(quote!(spec.limits.names = ::std::vec![#(#p::limit_name(#names)),*];));
    }
    set.extend(rule(&limits.all, p).map(|rule| quote!(spec.limits.all = #rule;)));
    set.extend(rule(&limits.line, p).map(|rule| quote!(spec.limits.line = #rule;)));
    if limits.ordered {
        set.push(quote!(spec.limits.ordered = true;));
    }
    set
}

fn rule(value: &RuleValue, p: &TokenStream) -> Option<TokenStream> {
    let RuleValue { concurrency, rate } = value;
    if concurrency.is_none() && rate.is_none() {
        return None;
    }
    let option = |value: Option<TokenStream>| match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    };
    let concurrency = option(concurrency.map(|jobs| quote!(#jobs)));
    let rate = option(rate.as_ref().map(|Rate { count, per_ms, burst }| {
        quote!(#p::Rate { count: #count, per: ::core::time::Duration::from_millis(#per_ms), burst: #burst })
    }));
    Some(
        quote!(#p::LimitRule { concurrency: #concurrency, rate: #rate, adaptive_min: ::core::option::Option::None }),
    )
}
