//! Which crate the expansion calls.

use crate::errors::help;
use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span};
use syn::Path;

/// The facade if the crate depends on it, else the core.
pub(crate) fn find() -> Result<Path, String> {
    for package in ["steadfast", "job-core"] {
        let name = match crate_name(package) {
            Ok(FoundCrate::Name(name)) => name,
            // An example, a test or a doc test of the package itself, which sees the library by its name.
            Ok(FoundCrate::Itself) => package.replace('-', "_"),
            Err(_) => continue,
        };
        let name = Ident::new(&name, Span::call_site());
        return Ok(syn::parse_quote!(::#name));
    }
    Err(help(
        "`#[job]` needs the crate `steadfast`",
        "add it to Cargo.toml, or say where it is with `#[job(crate = path)]`",
    ))
}
