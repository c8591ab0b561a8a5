//! Each file in `cases` has a mistake, and beside it the message that its author reads.
//!
//! `TRYBUILD=overwrite cargo test -p tcc-compile-fail` writes the messages anew; read each before you commit it. Does it
//! say in one sentence, at her own code, what to write instead? Does anything follow that is no mistake of hers?

#[test]
fn mistakes_are_answered_at_the_users_code() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("cases/*/*.rs");
}
