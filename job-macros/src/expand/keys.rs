//! The keys of a job.

use crate::key::{FieldPath, KeyExpr, Piece};
use crate::model::Model;
use crate::options::{KeyOption, Scope};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) fn scope(option: &KeyOption) -> TokenStream {
    match option.scope {
        Scope::Kind => quote!(::std::string::ToString::to_string(&Self::spec().kind)),
        Scope::Queue => quote!(::std::format!("queue:{}", Self::spec().queue)),
        Scope::Global => quote!(::std::string::String::new()),
    }
}

pub(super) fn value(key: &KeyExpr, job: &Model, p: &TokenStream) -> TokenStream {
    let field = |FieldPath { arg, fields }: &FieldPath| quote!(&self.#arg #(.#fields)*);
    match key {
        KeyExpr::Field(path) => {
            let value = field(path);
            quote!(#p::Key::new(#p::KeyPart::key_part(#value)))
        }
        KeyExpr::Text(pieces) => {
            let format: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => text.replace('{', "{{").replace('}', "}}"),
                    Piece::Capture(_) => "{}".to_owned(),
                })
                .collect();
            let captures = pieces.iter().filter_map(|piece| match piece {
                Piece::Capture(path) => {
                    let value = field(path);
                    Some(quote!(#p::KeyPart::key_part(#value)))
                }
                Piece::Literal(_) => None,
            });
            quote!(#p::Key::new(::std::format!(#format, #(#captures),*)))
        }
        KeyExpr::Tuple(paths) => {
            let values = paths.iter().map(field);
            quote!(#p::Key::of_parts(&[#(#values),*]))
        }
        KeyExpr::All => {
            let names = job.params.args.iter().map(|arg| &arg.name);
            quote!(#p::Key::of_parts(&[#(&self.#names),*]))
        }
        KeyExpr::Call(make) => quote!(#p::key_by(self, #make)),
    }
}
