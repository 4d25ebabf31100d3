//! The implementation of `Job`: the spec, and how the function is called.

use super::{at, keys, limits, private};
use crate::backoff::BackoffValue;
use crate::model::Model;
use crate::options::{
    ConflictValue, CronValue, DeadLetterValue, DurationValue, MissedValue, QueueValue, TimeoutValue,
};
use crate::signature::{Arg, Param};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ExprPath, LitStr, ReturnType, Type};

pub(super) fn implementation(job: &Model) -> TokenStream {
    let (name, cfgs) = (&job.args, job.cfgs());
    let p = private(job);
    let spec = spec(job, &p);
    let run = run(job, &p);
    let idempotency = job.idempotency.as_ref().map(|(key, option)| {
        let (scope, key) = (keys::scope(option), keys::value(key, job, &p));
        let window = option.ttl.as_ref().map_or_else(|| quote!(#p::IdempotencyKey::DEFAULT_WINDOW), duration);
        quote! {
            fn idempotency_key(&self) -> ::core::option::Option<#p::IdempotencyKey> {
                ::core::option::Option::Some(#p::IdempotencyKey { scope: #scope, key: #key, window: #window })
            }
        }
    });
    let unique = job.unique.as_ref().map(|(key, option)| {
        let (scope, key) = (keys::scope(option), keys::value(key, job, &p));
        quote! {
            fn unique_key(&self) -> ::core::option::Option<#p::UniqueKey> {
                ::core::option::Option::Some(#p::UniqueKey { scope: #scope, key: #key })
            }
        }
    });
    let line = job.line.as_ref().map(|(key, _)| {
        let key = keys::value(key, job, &p);
        quote! {
            fn line(&self) -> ::core::option::Option<#p::Key> {
                ::core::option::Option::Some(#key)
            }
        }
    });
    let result = has_result(job, &p);
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #p::Job for #name {
            #spec
            #run
            #idempotency
            #unique
            #line
        }
        #result
    }
}

/// What the handler returns, for those who wait for it: a type whose name ends in `Result` gives what is in it.
fn has_result(job: &Model, p: &TokenStream) -> Option<TokenStream> {
    job.options.result.as_ref()?;
    let (name, cfgs) = (&job.args, job.cfgs());
    let output = match &job.func.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => match ty.as_ref() {
            Type::Path(path)
                if path.path.segments.last().is_some_and(|s| s.ident.to_string().ends_with("Result")) =>
            {
                quote!(<#ty as #p::ReturnValue>::Value)
            }
            ty => quote!(#ty),
        },
    };
    Some(quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #p::HasResult for #name {
            type Output = #output;
        }
    })
}

fn spec(job: &Model, p: &TokenStream) -> TokenStream {
    let kind = &job.kind;
    let options = &job.options;
    let mut set = Vec::new();
    if !options.aliases.is_empty() {
        let aliases = &options.aliases;
        set.push(quote!(spec.aliases = ::std::vec![#(const { #p::Kind::from_static(#aliases) }),*];));
    }
    match &options.queue {
        None => {}
        Some(QueueValue::Name(queue)) => {
            set.push(quote!(spec.queue = const { #p::QueueName::from_static(#queue) };));
        }
        Some(QueueValue::Const(path)) => {
            let here = at(p, path.span());
            let queue = quote_spanned!(path.span()=> #here::ConstQueue::new(#path).get());
            // An item, for `cargo check` does not evaluate inline constants.
            set.push(quote! {
                spec.queue = {
                    const __QUEUE: #p::QueueName = #queue;
                    __QUEUE
                };
            });
        }
    }
    if let Some(level) = options.priority {
        set.push(quote!(spec.priority = const { #p::Priority::new(#level).unwrap() };));
    }
    if let Some(attempts) = options.max_attempts {
        let attempts = count(attempts);
        set.push(quote!(spec.max_attempts = #attempts;));
    }
    if let Some(value) = &options.backoff {
        let value = backoff(value, p);
        set.push(quote!(spec.backoff = #value;));
    }
    match &options.timeout {
        None => {}
        Some(TimeoutValue::Never) => set.push(quote!(spec.timeout = ::core::option::Option::None;)),
        Some(TimeoutValue::After(value)) => {
            let value = duration(value);
            set.push(quote!(spec.timeout = ::core::option::Option::Some(#value);));
        }
    }
    set.extend(options.conflict.as_ref().and_then(|value| conflict(value, p)));
    if let Some(ttl) = &options.ttl {
        let ttl = duration(ttl);
        set.push(quote!(spec.ttl = ::core::option::Option::Some(#ttl);));
    }
    if let Some(snoozes) = options.snoozes {
        let snoozes = count(snoozes);
        set.push(quote!(spec.snoozes = #snoozes;));
    }
    if let Some(version) = options.version {
        set.push(quote!(spec.version = #version;));
    }
    if let Some(path) = &options.upgrade {
        set.push(upgrade(path, p));
    }
    if job.params.args.iter().any(|arg| arg.redacted) {
        let shown = job.params.args.iter().filter(|arg| !arg.redacted).flat_map(Arg::stored_names);
        set.push(quote!(spec.shown = ::core::option::Option::Some(::std::vec![#(#shown),*]);));
    }
    if !options.crons.is_empty() {
        let schedules = (1_u32..).zip(&options.crons).map(|(number, value)| cron(kind, number, value, p));
        set.push(quote!(spec.schedules = ::std::vec![#(#schedules),*];));
    }
    match &options.dead_letter {
        None | Some(DeadLetterValue::Keep) => {}
        Some(DeadLetterValue::Discard) => set.push(quote!(spec.dead_letter = #p::DeadLetter::Discard;)),
        Some(DeadLetterValue::Then(path)) => {
            let here = at(p, path.span());
            let new = quote_spanned!(path.span()=> #here::NewJob::of(&#path::new(dead)));
            set.push(quote_spanned! {path.span()=>
                spec.dead_letter = #here::DeadLetter::Then(|dead: #here::DeadJob| #new);
            });
        }
    }
    if let Some(period) = &options.keep {
        let period = duration(period);
        set.push(quote!(spec.keep = ::core::option::Option::Some(#period);));
    }
    set.extend(limits::limits(&options.limits, p));
    if options.blocking.is_some() {
        set.push(quote!(spec.blocking = true;));
    }
    let states: Vec<_> = job
        .params
        .order
        .iter()
        .filter_map(|param| match param {
            Param::State(ty) => Some(quote!(#p::StateNeed::of::<#ty>())),
            _ => None,
        })
        .collect();
    if !states.is_empty() {
        set.push(quote!(spec.states = ::std::vec![#(#states),*];));
    }
    let mutability = (!set.is_empty()).then(|| quote!(mut));
    quote! {
        fn spec() -> &'static #p::JobSpec {
            static SPEC: ::std::sync::LazyLock<#p::JobSpec> = ::std::sync::LazyLock::new(|| {
                let #mutability spec = #p::JobSpec::new(const { #p::Kind::from_static(#kind) });
                #(#set)*
                spec
            });
            &SPEC
        }
    }
}

/// Spanned at the path: what does not fit is underlined there.
fn upgrade(path: &ExprPath, p: &TokenStream) -> TokenStream {
    let here = |name: &str| Ident::new(name, Span::mixed_site().located_at(path.span()));
    let (from, args, function) = (here("from"), here("args"), here("upgrade"));
    let p = at(p, path.span());
    let call = quote_spanned!(path.span()=> #p::upgraded(#function(#from, #args)));
    quote! {
        spec.upgrade = ::core::option::Option::Some(|#from, #args| {
            let #function: fn(
                ::core::primitive::u32,
                #p::serde_json::Value,
            ) -> ::core::result::Result<#p::serde_json::Value, _> = #path;
            #call
        });
    }
}

/// A number; the largest one is unlimited.
fn count(n: u32) -> TokenStream {
    if n == u32::MAX { quote!(::core::primitive::u32::MAX) } else { quote!(#n) }
}

fn duration(value: &DurationValue) -> TokenStream {
    match value {
        DurationValue::Millis(millis) if millis % 1000 == 0 => {
            let secs = millis / 1000;
            quote!(::core::time::Duration::from_secs(#secs))
        }
        DurationValue::Millis(millis) => quote!(::core::time::Duration::from_millis(#millis)),
        DurationValue::Const(path) => quote!(#path),
    }
}

/// One schedule. The first has the name of the job, the others a number as well.
fn cron(kind: &LitStr, number: u32, value: &CronValue, p: &TokenStream) -> TokenStream {
    let name = if number == 1 { kind.value() } else { format!("{}.{number}", kind.value()) };
    let (expression, jitter) = (&value.expression, value.jitter_ms);
    let zone = value.zone.as_ref().map_or_else(|| "UTC".to_owned(), LitStr::value);
    let overlap = match value.overlap.as_ref().map(ToString::to_string).as_deref() {
        Some("skip") => quote!(Skip),
        Some("queue") => quote!(Queue),
        _ => quote!(Allow),
    };
    let missed = match value.missed {
        None | Some(MissedValue::Once) => quote!(#p::Missed::Once),
        Some(MissedValue::Skip(None)) => quote!(#p::Missed::skip()),
        Some(MissedValue::Skip(Some(ms))) => {
            quote!(#p::Missed::Skip { grace: ::core::time::Duration::from_millis(#ms) })
        }
        Some(MissedValue::All(max)) => quote!(#p::Missed::All { max: #max }),
    };
    quote! {
        #p::cron(#name, #expression, #zone, #missed, #p::Overlap::#overlap, ::core::time::Duration::from_millis(#jitter))
    }
}

fn conflict(value: &ConflictValue, p: &TokenStream) -> Option<TokenStream> {
    let variant = match value {
        ConflictValue::Existing => return None,
        ConflictValue::Error => quote!(Error),
        ConflictValue::Replace => quote!(Replace),
        ConflictValue::Latest => quote!(Latest),
        ConflictValue::Debounce(value) => {
            let wait = duration(&value.wait);
            let max_wait =
                value.max_wait.as_ref().map_or_else(|| quote!(::core::time::Duration::MAX), duration);
            return Some(quote! {
                spec.when = #p::When::After(#wait);
                spec.on_conflict = #p::OnConflict::Debounce { max_wait: #max_wait };
            });
        }
    };
    Some(quote!(spec.on_conflict = #p::OnConflict::#variant;))
}

fn backoff(value: &BackoffValue, p: &TokenStream) -> TokenStream {
    let jitter = |full: &bool| if *full { quote!(#p::Jitter::Full) } else { quote!(#p::Jitter::None) };
    match value {
        BackoffValue::Exponential { base, factor, max, full_jitter } => {
            let (base, max, jitter) = (duration(base), duration(max), jitter(full_jitter));
            quote!(#p::Backoff::Exponential { base: #base, factor: #factor, max: #max, jitter: #jitter })
        }
        BackoffValue::Linear { step, max, full_jitter } => {
            let (step, max, jitter) = (duration(step), duration(max), jitter(full_jitter));
            quote!(#p::Backoff::Linear { step: #step, max: #max, jitter: #jitter })
        }
        BackoffValue::Fixed(delay) => {
            let delay = duration(delay);
            quote!(#p::Backoff::Fixed(#delay))
        }
        BackoffValue::List(delays) => {
            let delays = delays.iter().map(duration);
            quote!(#p::Backoff::List(const { &[#(#delays),*] }))
        }
        BackoffValue::Custom(path) => quote!(#p::Backoff::Custom(#path)),
    }
}

/// A local of the expansion, which nothing of the user's can mean or hide.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn run(job: &Model, p: &TokenStream) -> TokenStream {
    let func = &job.func.sig.ident;
    let ctx = local("ctx");
    let mut fields = Vec::new();
    let mut states = Vec::new();
    let mut call = Vec::new();
    for (index, param) in job.params.order.iter().enumerate() {
        match param {
            Param::Arg(arg) => {
                let field = &job.params.args[*arg].name;
                let value = local(&format!("arg{index}"));
                fields.push(quote!(#field: #value));
                call.push(quote!(#value));
            }
            Param::State(ty) => {
                let value = local(&format!("state{index}"));
                states.push(quote!(let #value = #p::state::<#ty>(&#ctx)?;));
                call.push(quote!(#value));
            }
            Param::Context { by_ref: true } => call.push(quote!(&#ctx)),
            Param::Context { by_ref: false } => call.push(quote!(#ctx)),
        }
    }
    let call = if job.options.blocking.is_some() {
        quote!(#p::run_blocking(move || #func(#(#call),*)).await?)
    } else {
        // With one span for all of it rustc reports a future that is not `Send` once, at the function's name.
        let p = at(p, func.span());
        quote_spanned!(func.span()=> #p::job_future_must_be_send(#func(#(#call),*)).await)
    };
    // The handler may take the context away.
    let keeper = job.options.result.as_ref().map(|_| {
        let kept = local("kept");
        quote!(let #kept = ::core::clone::Clone::clone(&#ctx);)
    });
    let outcome = outcome(job, &call, p);
    quote! {
        fn run(
            self,
            #ctx: #p::JobContext,
        ) -> impl ::core::future::Future<Output = ::core::result::Result<(), #p::JobError>> + ::core::marker::Send
        {
            async move {
                #[allow(unused_imports)]
                use #p::{AsError as _, AsIntoJobError as _, AsNothing as _, AsValue as _};
                let Self { #(#fields),* } = self;
                #(#states)*
                #keeper
                #outcome
            }
        }
    }
}

fn outcome(job: &Model, call: &TokenStream, p: &TokenStream) -> TokenStream {
    let error = format_ident!("error", span = job.return_span());
    // Spanned at the return type: what does not fit is underlined there.
    let split = quote_spanned!(job.return_span()=> into_result());
    let convert = quote_spanned!(job.return_span()=> job_error(#error));
    let (value, done) = match &job.options.result {
        None => (quote!(_), quote!(::core::result::Result::Ok(()))),
        Some(word) => {
            let (value, kept) = (local("value"), local("kept"));
            let here = at(p, word.span());
            (quote!(#value), quote_spanned!(word.span()=> #here::keep_result(&#kept, &#value)))
        }
    };
    quote! {
        match #p::Outcome(#call).#split {
            ::core::result::Result::Ok(#value) => #done,
            ::core::result::Result::Err(#error) => {
                ::core::result::Result::Err((&&&#p::ErrorOf::of(&#error)).#convert)
            }
        }
    }
}
