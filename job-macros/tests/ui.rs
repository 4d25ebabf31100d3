//! Every misuse has its text. The texts are those of the toolchain in rust-toolchain or CI;
//! `TRYBUILD=overwrite` writes them anew.

#[test]
fn misuse() {
    // A case that must pass would make trybuild build instead of check, which takes twice as long.
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
